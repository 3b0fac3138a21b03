"""Loaders: every format gives its title, its headings and its text; broken files say so."""

import csv
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.documents.folder import Folder
from insights.documents.registry import load


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_markdown_has_front_matter_and_title(tmp_path: Path) -> None:
    text = "---\nproduct: 'Printer'\n# note\n---\n# Reset the queue\n\nStop it.\n"
    loaded = load(_write(tmp_path, "a.md", text))
    assert loaded.title == "Reset the queue"
    assert loaded.properties == {"product": "Printer"}
    assert loaded.text == "# Reset the queue\n\nStop it.\n"


def test_text_in_windows_1252_with_nul_and_old_newlines(tmp_path: Path) -> None:
    loaded = load(_write(tmp_path, "a.txt", b"Gr\xfc\xdfe\r\nvon \x00hier\r"))
    assert loaded.text == "Grüße\nvon hier\n"
    assert not loaded.is_markdown


def test_html_keeps_headings_and_drops_what_nobody_reads(tmp_path: Path) -> None:
    page = """<html><head><title>Intranet</title><style>p {}</style></head><body>
    <nav><a href=x>Home</a></nav><main><h1>VPN</h1><p>Sign <b>in</b>
    again.</p><!-- hidden --><h2>Token</h2><ul><li>Reset</li><li>Wait</li></ul>
    <table><tr><th>Code</th><td>E12</td></tr></table><script>alert(1)</script></main></body></html>"""
    loaded = load(_write(tmp_path, "a.html", page))
    assert loaded.title == "VPN"
    assert "# VPN\n\nSign in again.\n\n## Token\n\n- Reset\n- Wait" in loaded.text
    assert "Code | E12" in loaded.text
    for gone in ("alert", "Home", "hidden", "p {}"):
        assert gone not in loaded.text


def _html(folder: Path, page: str) -> str:
    return load(_write(folder, "a.html", page)).text


def test_a_page_within_one_form_is_read(tmp_path: Path) -> None:
    page = """<form id="aspnetForm"><input type="hidden" value="/wEPDwUK"><h1>Papierstau</h1>
    <p>Klappe B.</p><input value="PX-200"><textarea>Notes here</textarea></form>"""
    text = _html(tmp_path, page)
    assert text == "# Papierstau\n\nKlappe B.\n\nPX-200\n\nNotes here"


def test_a_table_that_arranges_the_page_gives_each_text_once(tmp_path: Path) -> None:
    page = """<table><tr><td><h2>Pump</h2><table><tr><th>Part</th><th>Torque</th></tr>
    <tr><td>Bolt <p>M8</p></td><td>25&nbsp;Nm</td></tr><tr><td></td><td>80</td></tr></table>
    <p>Seal.</p></td></tr></table>"""
    assert _html(tmp_path, page) == "## Pump\n\nPart | Torque\nBolt M8 | 25 Nm\n| 80\n\nSeal."


def test_text_is_found_wherever_it_stands(tmp_path: Path) -> None:
    page = """<body style="display:none"><main></main><aside>In the aside.</aside>
    <footer>In the footer.</footer><nav>Words in a menu that are <a href="/x">no link</a> but text,
    many of them.</nav><custom-element>In an unknown one.</custom-element>Bare.</body>"""
    text = _html(tmp_path, page)
    for words in ("the aside", "the footer", "many of them", "unknown one", "Bare."):
        assert text.count(words) == 1, words


def test_what_a_browser_does_not_show_is_left_out(tmp_path: Path) -> None:
    page = """<p>Seen<span style="DISPLAY: none">hidden1</span><b hidden>hidden2</b>
    <select><option>de<option selected>en<option>fr</select><!-- hidden3 --></p>
    <![if !supportLists]><p>Step&shy;s 1<o:p></o:p></p><![endif]>
    <template>hidden4</template><noscript>hidden5</noscript><title>hidden6</title>"""
    assert _html(tmp_path, page) == "Seen\n\nen\n\nSteps 1" or "hidden" not in _html(tmp_path, page)
    text = _html(tmp_path, page)
    assert "Steps 1" in text
    assert ("en" in text.split(), "fr" in text.split(), "de" in text.split()) == (
        True,
        False,
        False,
    )


def test_formulas_are_shown_and_closed_dialogs_are_not(tmp_path: Path) -> None:
    page = """<p>Torque <math><semantics><mi>M</mi><mo>=</mo><mn>5</mn>
    <annotation encoding="application/x-tex">M=5</annotation></semantics></math> Nm</p>
    <dialog>closed</dialog><dialog open>Opened</dialog>"""
    text = _html(tmp_path, page)
    assert "".join(text.split()) == "TorqueM=5NmOpened"


def test_menus_and_lists_of_contents_are_left_out(tmp_path: Path) -> None:
    items = "".join(f'<li><a href="#s{number}">Section {number}</a></li>' for number in range(9))
    page = f"<ul class=toc>{items}</ul><h1>Manual</h1><ul><li>One <a href=x>link</a><li>Two</ul>"
    assert _html(tmp_path, page) == "# Manual\n\n- One link\n- Two"


def test_words_beside_each_other_are_words_of_their_own(tmp_path: Path) -> None:
    page = "<button>Push</button><label>Name</label><select><option>en</select>there<b>by</b>"
    assert _html(tmp_path, page).split() == ["Push", "Name", "en", "thereby"]


def test_lists_and_code_keep_their_shape(tmp_path: Path) -> None:
    page = """<ol start=3><li><p>Open</p><li>Close<ul><li>gently</ul></ol><pre>a  b
    c</pre><pre> </pre><dl><dt>E-17<dd>Overheated</dl><p>x<sub>2</sub>y<br>z"""
    assert _html(tmp_path, page) == (
        "3. Open\n\n4. Close\n  - gently\n\n```\na  b\n    c\n```\n\nE-17\nOverheated\n\nx2y\nz"
    )


def test_elements_that_never_close_do_not_cut_the_page_off(tmp_path: Path) -> None:
    page = "<p>start" + "<font size=2><div>" * 5_000 + "the very end"
    text = _html(tmp_path, page)
    assert text.startswith("start")
    assert text.endswith("the very end")


@pytest.mark.parametrize(
    "title", ["Untitled Document", "x", "index.html", "Microsoft Word - a.doc"]
)
def test_a_title_that_names_nothing_is_none(tmp_path: Path, title: str) -> None:
    assert load(_write(tmp_path, "a.html", f"<title>{title}</title><p>Text.")).title == ""


@pytest.mark.parametrize(
    "title", ["Untitled works of art", "Node.js", "Pump P-200", "Word 97 macros", "Print queue"]
)
def test_a_title_that_names_something_stays(tmp_path: Path, title: str) -> None:
    assert load(_write(tmp_path, "a.html", f"<title>{title}</title><p>Text.")).title == title


@pytest.mark.parametrize(
    ("front", "title", "product"),
    [
        ("--- \ntitle: A blank\nproduct: X1\n---  \n", "A blank", "X1"),
        ("---\ntitle: Dots\nproduct: X1\n...\n", "Dots", "X1"),
        (
            "---\ntitle: >\n  Replace the\n  fuser\nproduct: '007'\n---\n",
            "Replace the fuser",
            "007",
        ),
        ("---\ntitle: Reset # internal\nproduct: 'it''s X1'\n---\n", "Reset", "it's X1"),
        ("---\ntitle: Reset: the short way\nproduct: 007\n---\n", "Reset: the short way", "007"),
        ("\ufeff---\r\ntitle: Old\r\nproduct: [a, b]\r\n---\r\n", "Old", "a, b"),
        ("---\ntitle: Dates\nproduct: 2024-05-01\n---\n", "Dates", "2024-05-01"),
        ('+++\ntitle = "Of Hugo"\nproduct = ["a", "b"]\n+++\n', "Of Hugo", "a, b"),
        ('+++\ntitle = "Days"\nproduct = 2024-05-01\ndraft = true\n+++ \n', "Days", "2024-05-01"),
    ],
)
def test_front_matter_is_yaml_or_toml(tmp_path: Path, front: str, title: str, product: str) -> None:
    loaded = load(_write(tmp_path, "a.md", f"{front}Press both.\n"))
    assert (loaded.title, loaded.properties["product"]) == (title, product)
    assert loaded.text == "Press both.\n"


def test_comments_of_markdown_are_left_out_and_code_stays(tmp_path: Path) -> None:
    text = (
        "# A\n\nSeen<!-- not\nseen --> here, `<!-- code -->`.\n\n```\n<!-- more -->\n```\n<!-- end"
    )
    loaded = load(_write(tmp_path, "a.md", text))
    assert loaded.text == (
        "# A\n\nSeen here, `<!-- code -->`.\n\n```\n<!-- more -->\n```\n<!-- end"
    )
    began = time.process_time()
    load(_write(tmp_path, "b.md", "x <!-- ` " * 20_000 + "-->"))
    assert time.process_time() - began < 5


def test_front_matter_alone_is_a_document_of_its_title(tmp_path: Path) -> None:
    loaded = load(_write(tmp_path, "a.md", "---\ntitle: Alone\nproduct: X1\n---"))
    assert (loaded.text, loaded.title, loaded.properties["product"]) == ("Alone", "Alone", "X1")


@pytest.mark.parametrize(
    "text", ["----\nbanner\n----\nText.\n", "---\nno names here\n---\nText.\n"]
)
def test_rules_around_a_text_are_no_front_matter(tmp_path: Path, text: str) -> None:
    assert load(_write(tmp_path, "a.md", text)).text == text


def test_ligatures_and_soft_hyphens_do_not_hide_words(tmp_path: Path) -> None:
    text = "con\ufb01gure the o\ufb04ine bu\ufb00er, Wasser\u00adpumpe, m\u00b2"
    text += ", \uff25\uff11\uff12, V\u2011200"
    assert (
        load(_write(tmp_path, "a.md", text)).text
        == "configure the offline buffer, Wasserpumpe, m², E12, V-200"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv"])
def test_unicode_is_read_in_all_its_forms(tmp_path: Path, encoding: str, name: str) -> None:
    text = "Gerät;Preis\nProbe Ёж für Geräte;5 €\n"
    assert "Probe Ёж für Geräte" in load(_write(tmp_path, name, text.encode(encoding))).text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Прибор не работает: проверьте предохранитель, цена на коробке."),
        ("koi8_r", "Прибор не работает: проверьте предохранитель, цена на коробке."),
        ("cp1250", "Wyłącz urządzenie i otwórz pokrywę. Części zamienne są dostępne."),
        ("cp1253", "Κλείστε τη συσκευή και ανοίξτε το κάλυμμα. Αντικαταστήστε την ασφάλεια."),
        ("cp932", "電源を切ってからカバーを開けてください。ヒューズを交換してください。"),
        ("gb18030", "请先关闭电源，然后打开盖子。更换保险丝并重新启动设备。"),
        ("cp850", "Gerät läuft nicht, Größe prüfen, Öffnung säubern, Übertrag löschen."),
        ("cp1252", "Schalten Sie das Gerät aus – die „Größe“ der Öffnung beträgt 5 €."),
    ],
)
def test_old_encodings_are_found(tmp_path: Path, encoding: str, text: str) -> None:
    assert load(_write(tmp_path, "a.txt", text.encode(encoding))).text == text


def test_a_declared_encoding_is_believed_and_a_guess_is_told(tmp_path: Path) -> None:
    head = '<meta charset="iso-8859-1">'
    page = load(_write(tmp_path, "a.html", f"{head}<p>Preis 5 €".encode("cp1252")))
    assert (page.text, page.doubts) == ("Preis 5 €", ())
    guessed = load(_write(tmp_path, "a.txt", "Müller".encode("cp1252")))
    assert guessed.text == "Müller"
    assert "guessed as cp1252; it could be" in guessed.doubts[0]


def test_a_doubt_is_logged_with_the_documents_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Müller".encode("cp1252"))
    with Folder(tmp_path) as documents, capture_logs() as logs:
        documents.load("a.txt")
    assert [line["document"] for line in logs] == [str(tmp_path / "a.txt")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A;B;C\n1;x, y;89,90\n2;x, z;99,90\n", "B: x, y\nC: 89,90"),
        ("A,B,C\n1,x;y;z,3\n2,p;q,4\n", "B: x;y;z\nC: 3"),
        ("A\tB\n1\tx, y; z\n2\tp\n", "B: x, y; z"),
        ("A|B\n1|x, y\n2|z, q\n", "B: x, y"),
        ("sep=,\nA,B\n1;2,x;y\n", "A: 1;2\nB: x;y"),
        ("Report;;\nof May;;\n;;\nA;B;C\n1;2;3\n", "Report\nof May\n\n## 1\n\nA: 1\nB: 2\nC: 3"),
        ("A;B\n1;2;surplus\n", "A: 1\nB: 2\ncolumn 3: surplus"),
        ("A;;C\n1;2;3\n4;5;6\n", "column 2: 2"),
        ("A-1;12;3,5\nA-2;13;4,5\n", "## A-1\n\ncolumn 1: A-1\ncolumn 2: 12\ncolumn 3: 3,5"),
        ("Name;2023;2024\nx;1;2\n", "Name: x\n2023: 1\n2024: 2"),
        ('A;B\n1;"two\nlines"\n', "B: two lines"),
        ("A^B^C\n1^x, y^2\n2^p, q^3\n", "B: x, y\nC: 2"),
        ("A~B\n1~x;y\n2~z\n", "A: 1\nB: x;y"),
        ("A\x1fB\n1\x1fx\ty\n2\x1fz\n", "A: 1\nB: x y"),
        ("A\x01B\n1\x01x, y\n", "A: 1\nB: x, y"),
        ("A,B\n1^5,x~y\n2^6,z~a\n", "A: 1^5\nB: x~y"),
    ],
)
def test_csv_drops_nothing(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in load(_write(tmp_path, "a.csv", text)).text


def test_csv_with_a_very_long_cell(tmp_path: Path) -> None:
    csv.field_size_limit(1000)  # as a door's folder sets it for its own files
    text = f"A;B\n1;{'word ' * 40_000}end\n2;after\n"
    loaded = load(_write(tmp_path, "a.csv", text)).text
    assert loaded.count("word") == 40_000
    assert "B: after" in loaded


@pytest.mark.parametrize("between", ["made by: Ann\n", "\n"])
def test_a_line_above_the_header_may_have_a_delimiter(tmp_path: Path, between: str) -> None:
    text = f"Report of Monday, North\n{between}No,Name,Place\n1,Ann,Bern\n2,Bob,\n"
    loaded = load(_write(tmp_path, "a.csv", text)).text
    assert loaded.startswith("Report of Monday | North")
    assert loaded.endswith("## 1\n\nNo: 1\nName: Ann\nPlace: Bern\n\n## 2\n\nNo: 2\nName: Bob")


def test_a_header_may_lack_a_name_and_stand_above_an_empty_line(tmp_path: Path) -> None:
    lacking = load(_write(tmp_path, "a.csv", "No,Name,\n1,Ann,x\n2,Bob,y\n")).text
    assert lacking.startswith("## 1\n\nNo: 1\nName: Ann\ncolumn 3: x")
    apart = load(_write(tmp_path, "b.csv", "No,Name\n\n1,Ann\n2,Bob\n")).text
    assert apart.startswith("## 1\n\nNo: 1\nName: Ann")


def test_csv_makes_a_section_of_each_record(tmp_path: Path) -> None:
    text = 'question;answer\n"How; long?";two days\nWho?;\n'
    loaded = load(_write(tmp_path, "a.csv", text))
    assert loaded.text.startswith("## How; long?\n\nquestion: How; long?\nanswer: two days")
    assert "answer:" not in loaded.text.split("## Who?")[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"not a pdf"),
        ("a.docx", b"PK nor a zip"),
        ("a.md", b" \n"),
        ("a.csv", b"only,a,header\n"),
        ("a.xyz", b"what"),
    ],
)
def test_what_cannot_be_used_names_file_and_fix(tmp_path: Path, name: str, content: bytes) -> None:
    path = _write(tmp_path, name, content)
    with pytest.raises(errors.KnowledgeError) as raised:
        load(path)
    assert raised.value.where == str(path)


def test_folder_lists_readable_formats_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in ("b.md", ".git.md", "c.exe", "~$d.docx", "sub/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    assert [uri for uri, _ in Folder(tmp_path).listing()] == ["b.md", "sub/e.txt"]


def test_a_folder_that_is_not_there_is_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.KnowledgeError, match="no such folder"):
        list(Folder(tmp_path / "unmounted").listing())


def test_folder_takes_declared_filters_only(tmp_path: Path) -> None:
    (tmp_path / "a_b.md").write_text("---\nTenant: x\ntenant: 007\nowner: Ann\n---\nHello\n")
    with Folder(tmp_path, filters={"tenant": "integer"}) as documents:
        document = documents.load("a_b.md")
    assert document.filters == {"tenant": "7"}
    assert document.title == "a b"


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("text", " Laser PRINTER ", "laser printer"),
        ("integer", "007", "7"),
        ("boolean", "Yes", "true"),
        ("date", "2026-01-05 10:00:00", "2026-01-05"),
    ],
)
def test_filter_values_have_one_form(kind: FilterType, value: str, wanted: str) -> None:
    assert canonical("f", kind, value) == wanted


def test_a_filter_value_of_another_type_is_refused() -> None:
    with pytest.raises(errors.KnowledgeError, match="declared integer"):
        canonical("tenant", "integer", "seven")

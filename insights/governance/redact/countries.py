"""National ids and tax numbers by country: their forms, their checks in python-stdnum, their words.

A form is *evident* when its shape and checksum together are met by fewer than about one in a
hundred random numbers of that shape, and people write nothing else so. The others need a telling
word, or the stream's `regions`: those make an id of what passes a *strict* check, and of digits
whose check is weak only where they are grouped as that country writes them (`alone`).
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

# Modules of python-stdnum that check what natural persons are known by, by ISO 3166 country.
_BY_COUNTRY = {
    "AR": "ar.dni ar.cuit",
    "AT": "at.vnr at.tin",
    "AU": "au.tfn",
    "BE": "be.nn be.bis",
    "BG": "bg.egn bg.pnf",
    "BR": "br.cpf br.cnpj",
    "CA": "ca.sin ca.bc_phn",
    "CH": "ch.ssn",
    "CL": "cl.rut",
    "CN": "cn.ric",
    "CO": "co.nit",
    "CR": "cr.cpf",
    "CU": "cu.ni",
    "CZ": "cz.rc",
    "DE": "de.idnr de.stnr",
    "DK": "dk.cpr",
    "DO": "do.cedula",
    "EC": "ec.ci",
    "EE": "ee.ik",
    "EG": "eg.tn",
    "ES": "es.dni es.nie es.nif",
    "FI": "fi.hetu",
    "FR": "fr.nif fr.nir",
    "GB": "gb.nhs gb.utr",
    "GR": "gr.amka gr.vat",
    "HR": "hr.oib",
    "HU": "hu.anum",
    "ID": "id.nik id.npwp",
    "IE": "ie.pps",
    "IL": "il.idnr",
    "IN": "in_.aadhaar in_.pan in_.epic",
    "IS": "is_.kennitala",
    "IT": "it.codicefiscale it.iva",
    "KR": "kr.rrn",
    "LT": "lt.asmens",
    "LV": "lv.pvn",
    "MD": "md.idno",
    "MU": "mu.nid",
    "MX": "mx.curp mx.rfc",
    "MY": "my.nric",
    "NL": "nl.bsn",
    "NO": "no.fodselsnummer",
    "NZ": "nz.ird",
    "PE": "pe.cui",
    "PK": "pk.cnic",
    "PL": "pl.pesel pl.nip",
    "PT": "pt.cc pt.nif",
    "RO": "ro.cnp",
    "RS": "rs.pib",
    "RU": "ru.inn",
    "SE": "se.personnummer",
    "SI": "si.emso si.ddv",
    "SK": "sk.rc",
    "SV": "sv.nit",
    "TH": "th.pin",
    "TR": "tr.tckimlik",
    "UA": "ua.rntrc",
    "US": "us.ssn us.itin us.ein us.atin us.ptin",
    "UY": "uy.rut",
    "VE": "ve.rif",
    "VN": "vn.mst",
    "ZA": "za.idnr za.tin",
}
# Beside "tax no" and its like the check alone must say enough: dates, letters or two check digits.
_LOOSE = {
    "ar.dni",
    "eg.tn",
    "us.ein",
    "us.atin",
    "us.ptin",
    "us.ssn",
    "us.itin",
    "dk.cpr",
    "cr.cpf",
}
ALL = (
    *(name for names in _BY_COUNTRY.values() for name in names.split() if name not in _LOOSE),
    "eu.vat",
)

# Digits in one piece that at most one in 25 random numbers of that length would pass (3,000 drawn,
# 2026-11-29): by check, their lengths. Of the others one in ten to fourteen passes, or each.
_STRICT: dict[str, tuple[int, ...]] = {
    "ar.cuit": (11,), "be.bis": (11,), "be.nn": (11,), "bg.egn": (10,), "br.cnpj": (14,),
    "br.cpf": (11,), "ca.bc_phn": (10,), "ch.ssn": (13,), "cn.ric": (18,), "cu.ni": (11,),
    "cz.rc": (10,), "de.idnr": (11,), "dk.cpr": (10,), "ec.ci": (10,), "ee.ik": (11,),
    "fr.nif": (13,), "fr.nir": (15,),
    "gr.amka": (11,), "id.nik": (16,), "is_.kennitala": (10,), "it.iva": (11,), "kr.rrn": (13,),
    "lt.asmens": (11,), "my.nric": (12,), "no.fodselsnummer": (11,), "nz.ird": (9,),
    "pl.pesel": (11,), "ro.cnp": (13,), "ru.inn": (12,), "se.personnummer": (10, 12),
    "si.emso": (13,), "sk.rc": (10,), "sv.nit": (14,), "tr.tckimlik": (11,), "us.itin": (9,),
    "za.idnr": (13,),
}  # fmt: skip
# How a country groups digits whose check is weak, where hardly anything else is grouped so.
_GROUPED = {
    name: re.compile(form)
    for name, form in (
        ("at.tin", r"\d\d-\d{3}/\d{4}"),
        ("at.vnr", r"\d{4} \d{6}"),
        ("au.tfn", r"\d{3} \d{3} \d{3}"),
        ("ca.sin", r"\d{3} \d{3} \d{3}"),
        ("cl.rut", r"\d{7,8}-\d"),
        ("co.nit", r"\d{3}\.\d{3}\.\d{3}-\d"),
        ("de.stnr", r"\d{2,3}/\d{3}/\d{4,5}"),
        ("gb.nhs", r"\d{3} \d{3} \d{4}"),
        ("gb.utr", r"\d{5} \d{5}"),
        ("in_.aadhaar", r"\d{4}([ -])\d{4}\1\d{4}"),
        ("nl.bsn", r"\d{4}([. ])\d\d\1\d{3}"),
        ("nz.ird", r"\d\d-\d{3}-\d{3}"),
        ("pl.nip", r"\d{3}-(?:\d{3}-\d\d-\d\d|\d\d-\d\d-\d{3})"),
        ("pt.nif", r"\d{3} \d{3} \d{3}"),
    )
}
_UNCHECKED = {
    "ar.dni", "cr.cpf", "de.stnr", "eg.tn", "in_.epic", "us.atin", "us.ein", "us.ptin", "us.ssn",
}  # fmt: skip
_LETTERED = {"in_.epic", "us.ptin"}  # a few letters and digits, as part numbers and tickets are
_EVENLY = re.compile(r"\d+(?:([ ./-])\d+(?:\1\d+){0,2})?")  # in one piece, or one separator
_FRACTION = re.compile(r"[.,]\d\d?\Z")
_MOMENT = re.compile(  # a day and a time of it in one piece: 202511291405, 20251129140533
    r"20[1-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?"
)

OFFERED = tuple(_BY_COUNTRY)  # countries whose ids are known


class Evident(NamedTuple):
    """A form that tells by itself what it is.

    Attributes:
        pattern: The form.
        check: The checksum in python-stdnum; None where the form has none.
        weight: The least lean of the words beside it: 0 unless they speak against it, 1 only where
            they speak for it.
    """

    pattern: re.Pattern[str]
    check: str | None
    weight: int


_S = r"[ \n./_-]{0,3}"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0[1-9]|1[0-2])"
LETTERS = 0  # how many digits a form begins with that begins with letters
_LETTERS = str(LETTERS)
# Form, check, digits it may begin with, weight.
_FORMS: tuple[tuple[str, str | None, str, int], ...] = (
    (r"\d{3}-\d\d-\d{4}", None, "3", 0),  # US social security
    (r"(?!000|666|9)\d{3}([ \n.])(?!00)\d\d\1(?!0000)\d{4}", None, "3", 0),
    (r"9\d\d([ .-])(?:[5-8]\d|9[0-8])\1\d{4}", "us.itin", "3", 0),
    (  # UK national insurance
        rf"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]{_S}\d\d{_S}\d\d{_S}\d\d{_S}[A-D]",
        None, _LETTERS, 0,
    ),
    (rf"(?:ZZ|TN){_S}\d\d{_S}\d\d{_S}\d\d{_S}[A-DFMPTUX]", None, _LETTERS, 0),  # temporary ones
    (
        rf"[A-Z]{{3}}{_S}[A-Z]{{3}}{_S}[\dL-V]{{2}}{_S}[A-EHLMPR-T]{_S}[\dL-V]{{2}}{_S}[A-Z]{_S}[\dL-V]{{3}}{_S}[A-Z]",
        "it.codicefiscale", _LETTERS, 0,
    ),
    (r"\d{8}[ .-]?[A-Z]|\d{2}\.\d{3}\.\d{3}[ -]?[A-Z]", "es.dni", "8 2", 0),
    (r"[XYZ][ .-]?\d{7}[ .-]?[A-Z]", "es.nie", _LETTERS, 0),
    (rf"[12]{_S}\d\d{_S}\d\d{_S}(?:\d\d|2[AB]){_S}\d{{3}}{_S}\d{{3}}{_S}\d\d", "fr.nir",
     "1 3 5 6 7 10 13 15", 0),
    (rf"{_DAY}{_MONTH}\d\d[-+ABCDEFYXWVU]\d{{3}}[0-9A-Z]", "fi.hetu", "6", 0),
    (rf"(?:19|20)?\d\d{_MONTH}(?:{_DAY}|[6-8]\d|9[01])[-+]\d{{4}}", "se.personnummer", "6 8", 0),
    (rf"{_DAY}{_MONTH}\d\d-\d{{4}}", "is_.kennitala", "6", 0),
    (rf"{_DAY}{_MONTH}\d\d-\d{{4}}", "dk.cpr", "6", 0),
    (rf"{_DAY}{_MONTH}\d\d ?\d{{5}}", "no.fodselsnummer", "6 11", 0),
    (rf"{_DAY}{_MONTH}\d{{7}}", "gr.amka", "11", 0),
    (rf"{_DAY}{_MONTH}\d\d-[012]\d{{4}}", None, "6", 0),  # Latvia
    (rf"\d\d(?:[0257][1-9]|[1368][0-2]|[257]0){_DAY}/\d{{3,4}}", "cz.rc", "6", 0),
    (rf"[1-6]\d\d{_MONTH}{_DAY}\d{{4}}", "lt.asmens", "11", 0),
    (rf"(?!1[5-9]\d{{11}})[1-8]\d\d{_MONTH}{_DAY}\d{{6}}", "ro.cnp", "13", 0),  # no Unix time
    (rf"\d\d[.]?{_MONTH}[.]?{_DAY}[-. ]?\d{{3}}[. -]?\d\d", "be.nn", "2 6 11", 0),
    (rf"756{_S}\d{{4}}{_S}\d{{4}}{_S}\d\d", "ch.ssn", "3 7 11 13", 0),
    (rf"\d{{4}}[ -]{_DAY}[. ]?{_MONTH}[. ]?\d\d", "at.vnr", "4", 0),
    (r"\d{2}[ ]\d{3}[ ]\d{3}[ ]\d{3}", "de.idnr", "2", 0),
    (r"\d{3}([.-])\d{3}\1\d{3}-\d\d", "br.cpf", "3", 0),
    (r"\d\d\.\d{3}\.\d{3}/\d{4}-\d\d", "br.cnpj", "2", 0),
    (rf"\d\d{_MONTH}{_DAY}-[1-8]\d{{6}}", "kr.rrn", "6", 0),
    (rf"\d{{6}}(?:19|20)\d\d{_MONTH}{_DAY}\d{{3}}[\dX]", "cn.ric", "17 18", 0),
    (r"[A-Z][1289]\d{8}", None, _LETTERS, 1),  # Taiwan
    (r"[A-Z]{1,2}\d{6}\([0-9A]\)", None, _LETTERS, 0),  # Hong Kong
    (r"[STFGM]\d{7}[A-Z]", None, _LETTERS, 0),  # Singapore
    (rf"\d\d{_MONTH}{_DAY}-\d\d-\d{{4}}", "my.nric", "6", 0),
    (r"[1-8]-\d{4}-\d{5}-\d\d-\d", "th.pin", "1", 0),
    (r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]", "in_.pan", _LETTERS, 0),
    (rf"[A-Z]{{4}}\d\d{_MONTH}{_DAY}[HMX][A-Z]{{5}}[0-9A-Z]\d", "mx.curp", _LETTERS, 0),
    (rf"(?-i:[A-Z&\u00d1]{{4}})\d\d{_MONTH}{_DAY}(?-i:[0-9A-Z]{{3}})", "mx.rfc", _LETTERS, 0),
    (r"(?:20|2[347]|30|3[34])-\d{8}-\d", "ar.cuit", "2", 0),
    (r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", "cl.rut", "1 2", 0),
    (r"\d{5}-\d{7}-\d", "pk.cnic", "5", 0),
    (rf"\d\d{_MONTH}{_DAY} ?\d{{4}} ?[01][89]\d", "za.idnr", "6 10 13", 0),
    (r"\d{8} \d [A-Z\d]{2}\d", "pt.cc", "8", 0),
    (rf"(?!17){_DAY}{_MONTH}(?:9\d\d|0[0-2]\d)\d{{6}}", "si.emso", "13", 0),  # no Unix time
    (r"\d{3}-\d{3}-\d{3} \d\d", None, "3", 0),  # Russian SNILS
    (r"\d{3}-\d{7}-\d", "do.cedula", "3", 0),
    (
        (r"(?:ATU|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK)"
         r" ?[0-9A-Z]{6,13}"),
        "eu.vat", _LETTERS, 1,
    ),
)  # fmt: skip


def _evident() -> dict[int, tuple[Evident, ...]]:
    found: dict[int, list[Evident]] = {}
    for form, check, begins, weight in _FORMS:
        pattern = re.compile(rf"(?:{form})(?![^\W_]|[.-]\d)", re.IGNORECASE)
        for size in begins.split():
            found.setdefault(int(size), []).append(Evident(pattern, check, weight))
    return {size: tuple(forms) for size, forms in found.items()}


# By the number of digits that a form begins with; 0 are those that begin with letters.
EVIDENT = _evident()
# The letters that stand before a form's first digit; looked for in the characters before a digit.
PREFIX = re.compile(
    r"(?<![^\W_])(?<![.-])(?:[A-Za-z&\u00d1]{1,6}|[A-Za-z]{3}[ \n./_-]{1,3}[A-Za-z]{3})"
    r"[ \n./_-]{0,3}\Z"
)
LONGEST_PREFIX = 13

# Words that say "an id follows", whatever its form. Regular expressions without groups.
CERTAIN = (
    r"ssns?", r"social security", r"soc\.? sec\.?", r"national insurance", r"nino",
    r"sozialversicherungs?\w*", r"sv-?n(?:r|ummer)", r"rentenversicherungs\w*", r"rvnr", r"ahv\w*",
    r"versicherungsnummer", r"tax(?:payer)? id\w*", r"tax identification", r"tin",
    r"steuer-?(?:id\w*|identifikations?\w*|nummer|nr)", r"st-?nr", r"idnr", r"ust-?id\w*",
    r"umsatzsteuer\w*", r"pesel", r"bsn", r"burgerservicenummer", r"sofinummer", r"cpr", r"cpf",
    r"cnpj", r"personnummer", r"f\u00f8dselsnummer", r"fodselsnummer", r"personnr",
    r"henkil\u00f6tunnus",
    r"hetu", r"rodn\u00e9 \u010d\u00edslo", r"rodne cislo", r"cnp", r"egn", r"oib", r"jmbg",
    r"emso", r"amka", r"afm",
    r"aadhaa?r", r"curp", r"rfc fiscal", r"nrics?", r"fin no", r"hkid", r"mykad", r"nik", r"npwp",
    r"codice fiscale", r"c\.f\.", r"partita iva", r"dni", r"nie", r"nif", r"cuit", r"cuil",
    r"c\u00e9dula",
    r"cedula", r"insee", r"nir", r"s\u00e9curit\u00e9 sociale", r"securite sociale",
    r"num\u00e9ro fiscal", r"medicare", r"nhs", r"social insurance", r"utr", r"tfn", r"abn",
    r"tckn",
    r"tc kimlik(?: no)?", r"snils", r"\u0441\u043d\u0438\u043b\u0441", r"\u0438\u043d\u043d",
    r"teudat zehut",
    r"personal id\w*", r"personal (?:code|number)", r"national id\w*", r"identity number",
    r"id number of citizen",
    r"itin", r"ein", r"rsin", r"ppsn?", r"isikukood", r"asmens kodas", r"personas kods",
    r"kennitala",
    r"rijksregister\w*", r"rrn", r"\u8eab\u4efd\u8bc1\u53f7?",
    r"\u30de\u30a4\u30ca\u30f3\u30d0\u30fc",
    r"vat(?: id| no| number| reg\w*)",
)  # fmt: skip
# Words beside which a number that passes any country's check is an id.
WORDS = (
    *CERTAIN, r"tax\w*", r"steuer\w*", r"fiscal\w*", r"citizen\w*", r"vat", r"mwst\w*", r"tva",
    r"iva", r"btw",
    r"nip", r"patient\w*", r"b(?:\u00fc|ue)rgernummer",
)  # fmt: skip
# Whom a state knows by a number. Customers are not among them: their numbers are the site's own.
HOLDERS = (
    r"(?:his|her|my|their|your|personal|identity|meine?|seine?|ihre?) (?:id|number|nr|nummer)",
    r"insured(?: person)?", r"beneficiary", r"applicants?", r"claimants?", r"residents?",
    r"employees?", r"spouse", r"wife", r"husband", r"child", r"daughter", r"son", r"mother",
    r"father", r"person", r"versicherte\w*", r"antragsteller\w*", r"steuerpflichtige\w*",
    r"mitarbeiter\w*", r"ehefrau", r"ehemann", r"kind", r"titulaire", r"assur\u00e9e?s?",
    r"salari\u00e9e?s?", r"asegurad[oa]", r"empleado", r"titular", r"verzekerde", r"werknemer",
    r"burger", r"ubezpieczon\w*", r"pracownik\w*", r"personne", r"persona",
)  # fmt: skip


def ids(region: str) -> tuple[str, ...]:
    """Return the checks of one country's ids."""
    return tuple(_BY_COUNTRY.get(region.upper(), "").split())


def alone(names: Iterable[str], written: str, value: str) -> Iterator[str]:
    """Yield the checks that make an id of a number without a word that says so, in its country.

    Args:
        names: The country's checks.
        written: The number as it stands in the text.
        value: The same without separators and case.
    """
    if not value.isdecimal():
        yield from (name for name in names if name not in _LETTERED)
        return
    evenly = (
        _EVENLY.fullmatch(written) is not None
        and _FRACTION.search(written) is None
        and _MOMENT.fullmatch(value) is None
    )
    for name in names:
        form = _GROUPED.get(name)
        if (form is not None and form.fullmatch(written)) or (
            evenly and len(value) in _STRICT.get(name, ())
        ):
            yield name


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """Return the checks among these that say something of a number."""
    return tuple(name for name in names if name not in _UNCHECKED)


@lru_cache(maxsize=256)
def module(name: str) -> ModuleType:
    """Return a module of python-stdnum by its name below the package."""
    return import_module(f"stdnum.{name}")

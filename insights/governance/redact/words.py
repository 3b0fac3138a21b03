"""Words that names are made of or mistaken for."""

import re


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Columns whose values are no persons' names: found as a whole only, not by their parts.
WHOLE_COLUMNS = re.compile(
    r"compan|firm|organi[sz]|\borg\b|street|stra(?:ss|ß)e|address|adress|city|town|\bort\b|ort$|stadt"
    r"|country|land$|title|titel|dep(?:t|artment)|abteil|mail|phone|tel(?:e|_|$)|fax|mobil|login|zip|plz"
    r"|job|role|position|branch|site|department|iban|konto|account_?n"
)
TITLES = _of(
    """
    mr mrs ms miss mx dr prof sir madam herr frau hr fr dipl ing med phd msc bsc jr sr ii iii iv
    mag lic rer nat phil jur m mme mlle monsieur madame sig signor signora sra srta senor senora
    don dona dhr mevr pan pani
    """
)
PARTICLES = _of(
    """
    van von de der den del della di da du des dos das la le el al bin ibn ben ter ten te zu zum
    zur af av vom vander mc mac o d l st san santa
    """
)
COMPANIES = _of(
    """
    gmbh ag kg ohg ug ltd limited inc incorporated llc llp plc corp corporation co company sa sarl
    sas srl spa bv nv ab oy oyj as aps kft sro doo pty group gruppe holding verein ev eg bank
    stiftung
    """
)
# Names that are ordinary words too. In lower case they are taken for the word.
ORDINARY = _of(
    """
    ace alt ambrose amber an angel april archer art ash august autumn bach bad baker bank banks
    barker baron bass baum bay bean beck bell berg best bill birch bird bishop black blank blatt
    block bloom blue bolt bond booth boss braun brand bray breit brook brooks brown buck bull
    burns busch bush butcher butler cage can carpenter carter case cash chance chandler charity
    chase christian church clay clear close coal cole cook cool cooper cord cotton court cross
    crystal curry dale dawn day dean dear dick dies do don duke earl east eden ein engel english
    ernst es faith falk fall farmer fein feld fest field fields finger finn fisher fleck flint
    flood flower ford forest foster fox frank franco free freeman frei frost gale gardener gay
    gerade gift glass glen golden good grace graf grant grass grau gray green grey groß gross
    grove grün grund guest gut haas hack hall hand hardy harmony hart hawk hazel heart heaven herd
    hill hoch holder holly holt honey hook hope horn house hunt hunter iris ivy jack jade jasmine
    jay jet joy jung just karl keller kern king klar klein klug knight koch kohl kraft kurz lake
    lamb lamm land lane lang lange law leicht lieb light lily linden little lock long lord love
    low luck mai major man mann march mark markt marsh marshall mason mast matt may mayer meadow
    meister mercy merry mill miller mills minor mix moon moor moore moos more moss most neu new
    nice noble noll nord north oak olive otter page palm park parker parks pat pearl penny pepper
    peter piper pink pitt place pool pope porter post potter pound power price pride prince prior
    pro quick rad rain ray read reed reif rein rest rice rich ring river rob robin rock rose rot
    roth ruby rush russ sage salt sand sands sauer schnell schön schwarz see senior shade sharp
    sheets short silver singer small smart smith snow sommer song south spear spring stamm star
    stark stein stern stock stoll stone storm straus street strong sue summer swift tag taylor
    temple thorn tower town trick true turner voll wald walker wall wand ward warm waters weaver
    web weber weiss weiß wells werk west white wild will willow winter wise wolf wood woods woody
    word worth young als am as at be bei bin by da du er go he if im in is ist it ja la lo me my
    na no ob of oh ok on or so to um up us we wo zu
    """
)

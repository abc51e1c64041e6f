"""The words that tell a name's parts apart, and nameparser's parser pinned to them.

Its own lists are made for reading about people: 800 titles, among them King, Judge and Chef, and 600 degrees, among
them MA and DO. Here a wrong title costs a person a name, so only words that are hardly ever names are taken.
"""

from nameparser import Lexicon, Parser, Policy


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# A title with its period here is one only with it: Col. is, Col isn't.
TITLES = _set(
    """dr prof professor doctor doktor mr mrs ms miss mx mister sir dame rev reverend hon. judge. capt. col. gen. lt.
    maj. sgt. herr frau hr. fr. frl. fräulein dipl.-ing dipl.-kfm mag. ing. mme mlle mmes messrs madame mademoiselle
    monsieur maître sr. sra srta señor señora señorita dra dott dott.ssa avv. arch. sig. sig.ra signor signora dhr
    mevr mevrouw meneer drs. ir. pan. pani. mudr judr phdr doc. dr.med dr.-ing don. doña shri smt. sri. datuk datin
    г-н г-жа проф д-р κ. κα δρ د. دكتور الدكتور السيد السيدة ד"ר ד״ר מר גב' גב׳ श्री श्रीमती डॉ คุณ นาย นาง นางสาว"""
)
# These go before a given name on its own: Sir Elton, Dame Judi.
GIVEN_TITLES = _set("sir dame don doña คุณ shri श्री")
# After the family name: which of two people, what they are, or politeness.
GENERATIONS = _set(
    """jr jnr junior júnior sr snr senior ii iii iv vi vii viii esq esquire 2nd 3rd 4th filho neto mladší starší мл ст
    様 さん さま くん ちゃん 氏 先生 女士 小姐 博士 教授 님 씨 선생님 박사 교수님"""
)
# These are family names too: they need two names before them, and a degree its capitals. José Neto, Nkem Mba.
NAMELIKE_SUFFIXES = _set("junior júnior senior filho neto vi mba mbe obe md")
DEGREES = _set(
    """phd md dds dvm dphil edd psyd pharmd jd llm llb mba mbe obe cbe kbe msc bsc mphil mds mbbs frcs frs rn cpa cfa
    pe ma ba bs ms dnp mp qc kc sj usn usmc"""
)
# Family names or initials when written without their periods: Jack Ma.
DOUBTFUL_DEGREES = _set("ma ba bs ms pe jd mp kc qc sj mds")
# They belong to the name after them.
PARTICLES = _set(
    """de del della dello delle degli dei di da das do dos du des d' d’ la le las los el van von vom zu zum zur der den
    dem ten ter te 't ’t vander vande bin bint binti binte ibn ben bat bar al el- al- abu ap af av st mac
    mc o' o’ ó ní nic ua op uit בן בת بن بنت ابن أبو آل"""
)
# Also given names where they stand first: Van Morrison, Al Gore, Ben Okri.
GIVEN_PARTICLES = _set("van del della di da do du la le el al bin ben bat bar abu mac te ten ap af av den op")
# They are half a given name: Abd Allah, Abu Bakr, Umm Kulthum.
BOUND = _set("abd abdul abdel abdal abu abou umm oum عبد أبو ابو أم")
# Between two family names of one person: Ortega y Gasset, Costa e Silva, Puig i Cadafalch.
JOINERS = _set("y e i")
# Between two people or partners: neither is one person's name.
AND = _set("& + and und et og och / | c/o dba t/a")
# Legal forms of firms, wherever they stand but first.
FIRMS = _set(
    """gmbh mbh ohg kgaa gbr inc incorporated llc llp ltd limited plc corp corporation company sarl sàrl sas sasu eurl
    srl srls spa bv oy oyj aps pty pte pvt kft zrt nyrt ltda lda ооо оао зао пао e.v s.a s.l s.r.o d.o.o a/s a.s n.v
    b.v s.p.a s.r.l s.à.r.l l.l.c z.o.o αε a.ε gesellschaft 株式会社 有限会社 合同会社 有限公司 公司 주식회사 จำกัด"""
)
# Legal forms that are names in another spelling or place: Ag, Sa, As.
SHORT_FIRMS = _set("AG SA AS AB NV KG UG SE SL KK SC Co Co. CO CO. eG e.K.")
TRADES = _set(
    """shop shoppe café cafe restaurant ristorante hotel bakery bäckerei apotheke pharmacy holding holdings services
    solutions consulting consultants partners associates sons brothers bros söhne fils studio studios school schule
    university universität université institute institut foundation stiftung association verein clinic klinik hospital
    agency agentur logistics technologies software systems industries enterprises international team office department
    accounting billing support sales group gruppe groupe trust ministry kanzlei praxis"""
)
STARTS_OF_FIRMS = _set("the firma société ооо оао зао пао ип 株式会社 บริษัท")
MAIDEN = _set("née nee né geb geborene урожд урождённая")

_DOTTED_TITLES = frozenset(word for word in TITLES if word.endswith("."))


def folded(word: str) -> str:
    """Return the word as the lists hold it: in lower case, without outer periods and commas."""
    return word.lower().strip(".,")


def is_title(word: str) -> bool:
    """Whether the word is a title; some are one only with their period."""
    bare = folded(word)
    return bare in TITLES or (word.endswith(".") and f"{bare}." in _DOTTED_TITLES)


def is_suffix(word: str) -> bool:
    """Whether the word stands after a family name; doubtful degrees do only with periods: M.A., not Ma."""
    bare = folded(word)
    letters = bare.replace(".", "")
    if letters not in DEGREES or "." in bare:
        return bare in GENERATIONS or letters in DEGREES
    return letters not in DOUBTFUL_DEGREES and not (letters in NAMELIKE_SUFFIXES and word.istitle())


_NOTABLE = frozenset(
    folded(word)
    for words in (TITLES, GENERATIONS, DEGREES, PARTICLES, BOUND, JOINERS, AND, FIRMS, SHORT_FIRMS, TRADES, MAIDEN)
    for word in (*words, *STARTS_OF_FIRMS)
)


def is_usual(word: str) -> bool:
    """Whether the word is letters only, perhaps with a hyphen or apostrophe, and in none of the lists."""
    plain = word.replace("-", "").replace("'", "").replace("’", "")
    return plain.isalpha() and word.lower() not in _NOTABLE


# Asked where a family name begins. Every list that it uses is given here; the library's global settings are neither
# read nor changed. It is frozen, keeps nothing between calls and takes any text: fit for a pure module and any thread.
PARSER = Parser(
    Lexicon(
        particles=PARTICLES,
        particles_ambiguous=GIVEN_PARTICLES,
        conjunctions=JOINERS,
        conjunctions_ambiguous=frozenset({"e", "i"}),
        maiden_markers=MAIDEN,
    ),
    Policy(
        script_orders=(),
        segment_scripts=frozenset(),
        nickname_delimiters=frozenset(),
        strip_emoji=False,
        strip_bidi=False,
        unlisted_dotted_suffixes=False,
    ),
)

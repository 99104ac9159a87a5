"""The known datasets: addresses, checksums of what we hold, counts that must come out, and whom to cite."""

from recpoison.data.layout import Layout
from recpoison.data.provenance import Source, SourceFile, Variant

FIVE_STARS = (1.0, 5.0, 1.0)
TEN_POINTS = (1.0, 10.0, 1.0)
GROUPLENS = "https://files.grouplens.org/datasets"
GITHUB = "https://raw.githubusercontent.com"
CASEREC = f"{GITHUB}/caserec/Datasets-for-Recommender-Systems/HEAD/Processed%20Datasets"
APT = f"{GITHUB}/Daftstone/APT/HEAD/Data"
NCF = f"{GITHUB}/hexiangnan/neural_collaborative_filtering/HEAD/Data"
AMF = f"{GITHUB}/hexiangnan/adversarial_personalized_ranking/HEAD/Data"


def _ncf(stem: str, base: str) -> tuple[SourceFile, ...]:
    parts = ("train.rating", "test.rating", "test.negative")
    return tuple(
        SourceFile(f"{stem}.{part}", f"{base}/{stem}.{part}", optional=part == "test.negative") for part in parts
    )


_PAIR = Layout("\t", rating=2)

_ALL = (
    Source(
        "ml_100k",
        "MovieLens 100K: movies, ratings 1-5 with time",
        "ml-100k",
        (
            SourceFile(
                "u.data",
                f"{GROUPLENS}/movielens/ml-100k.zip",
                "ml-100k/u.data",
                "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
                "md5:0e33842e24a9c977be4e0107933c0723",
            ),
        ),
        {"ratings": Variant(("u.data",), counts=(943, 1682, 100_000), layout=Layout("\t", time=3, scale=FIVE_STARS))},
        "Harper and Konstan 2015",
        "research use, no redistribution (GroupLens)",
    ),
    Source(
        "ml_1m",
        "MovieLens 1M: movies, ratings 1-5, time in the official file",
        "ml-1m",
        (
            SourceFile(
                "ratings.dat",
                f"{GROUPLENS}/movielens/ml-1m.zip",
                "ml-1m/ratings.dat",
                archive_hash="md5:c4d9eecfca2ab87c1945afe126590906",
            ),
            SourceFile("last_interactions.csv", optional=True),
        ),
        {
            "ratings": Variant(
                ("ratings.dat",),
                counts=(6040, 3706, 1_000_209),
                layout=Layout("::", time=3, scale=FIVE_STARS),
                last="last_interactions.csv",
            )
        },
        "Harper and Konstan 2015",
        "research use, no redistribution (GroupLens)",
    ),
    Source(
        "filmtrust",
        "FilmTrust: movies, ratings 0.5-4; processed pair of APT, ratings doubled",
        "filmtrust",
        (
            SourceFile(
                "filmtrust.train.rating",
                f"{APT}/filmtrust.train.rating",
                sha256="0aaa16510756b42075dc70a1bed52d9d907f4917b2e1f5d3b541592b035f3e2c",
            ),
            SourceFile(
                "filmtrust.test.rating",
                f"{APT}/filmtrust.test.rating",
                sha256="82b94a706ae86e920daa2888ffbededa1e6666a5d4c2d560f764955df67334a6",
            ),
            # LibRec's zip separates by spaces, the copy we hold by commas: no sha256 of the official bytes
            SourceFile("ratings.txt", "https://guoguibing.github.io/librec/datasets/filmtrust.zip", "ratings.txt"),
        ),
        {
            "processed": Variant(
                ("filmtrust.train.rating", "filmtrust.test.rating"),
                counts=(796, 2011, 30_880),
                layout=Layout("\t", scale=(1.0, 8.0, 1.0)),
                test="filmtrust.test.rating",
            ),
            "raw": Variant(("ratings.txt",), counts=(1508, 2071, 35_497), layout=Layout(scale=(0.5, 4.0, 0.5))),
        },
        "Guo, Zhang and Yorke-Smith 2013",
    ),
    Source(
        "gowalla",
        "Gowalla check-ins: places, implicit; 10-core in LightGCN's form, or all check-ins with their times",
        "gowalla",
        (
            SourceFile(
                "train.txt",
                f"{GITHUB}/gusye1234/LightGCN-PyTorch/HEAD/data/gowalla/train.txt",
                sha256="0f086326b28a56c2e6dcb81d86ee72d4ccb7eed3a8d26788392356d8f51111cc",
            ),
            SourceFile(
                "test.txt",
                f"{GITHUB}/gusye1234/LightGCN-PyTorch/HEAD/data/gowalla/test.txt",
                sha256="099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
            ),
            SourceFile("loc-gowalla_totalCheckins.txt", optional=True),
        ),
        {
            "lightgcn": Variant(("train.txt", "test.txt"), "grouped", (29_858, 40_981, 1_027_370), test="test.txt"),
            "checkins": Variant(("loc-gowalla_totalCheckins.txt",), layout=Layout("\t", item=4, rating=None, time=1)),
        },
        "Cho, Myers and Leskovec 2011; processed by He et al. 2020",
        ask="https://snap.stanford.edu/data/loc-gowalla.html, 100 MB",
    ),
    Source(
        "book_crossing",
        "Book-Crossing: books, ratings 1-10 (explicit) or history (implicit)",
        "book-crossing",
        (
            SourceFile(
                "book_ratings.dat",
                f"{CASEREC}/BookCrossing/book_crossing.zip",
                "book_ratings.dat",
                "703c6efadfee9bd790354b230fe948c61f246ba5e3642c67ace96501de6667b3",
            ),
            SourceFile(
                "book_history.dat",
                f"{CASEREC}/BookCrossing/book_crossing.zip",
                "book_history.dat",
                "9866c79c6022bd68729403768496c7ffb8f481db268884e0a22e5cf80fc5eadd",
            ),
        ),
        {
            "explicit": Variant(
                ("book_ratings.dat",), counts=(1295, 14_684, 62_656), layout=Layout("\t", True, scale=TEN_POINTS)
            ),
            "implicit": Variant(
                ("book_history.dat",), counts=(2946, 17_384, 272_678), layout=Layout("\t", True, rating=None)
            ),
        },
        "Ziegler et al. 2005; processed by Case Recommender",
    ),
    Source(
        "steam",
        "Steam-200k: games bought and hours played, implicit",
        "steam-200k",
        (
            SourceFile(
                "game_purchase.dat",
                f"{CASEREC}/Steam/steam.zip",
                "game_purchase.dat",
                "d353d441b6325862be2162292b6ad6b501fa16380b9625a96daa8fa456c4ec52",
            ),
            SourceFile(
                "game_play.dat",
                f"{CASEREC}/Steam/steam.zip",
                "game_play.dat",
                "86ac428985a323da0c6cee634b2c8d8851bb028048426a6381c68c96554d0b14",
            ),
        ),
        {
            "both": Variant(
                ("game_purchase.dat", "game_play.dat"), counts=(12_393, 5155, 200_000), layout=Layout("\t", True)
            ),
            "purchase": Variant(("game_purchase.dat",), layout=Layout("\t", True)),
            "play": Variant(("game_play.dat",), layout=Layout("\t", True)),
        },
        "tamber/steam-video-games on Kaggle; processed by Case Recommender",
    ),
    Source(
        "anime",
        "Anime sample of 5,000 users: history (implicit) or ratings 1-10",
        "anime",
        (
            SourceFile(
                "anime_history.dat",
                f"{CASEREC}/Anime/anime.zip",
                "anime_history.dat",
                "7471f79e408910bf72e2aa2fc7c9fb754d9185fe351e7547979669b57e931c7e",
            ),
            SourceFile(
                "anime_ratings.dat",
                f"{CASEREC}/Anime/anime.zip",
                "anime_ratings.dat",
                "30e4172121bc511b97155a8812a0fbfd0c72015adfd0e56e92fdb53d4741886b",
            ),
        ),
        {
            "history": Variant(
                ("anime_history.dat",), counts=(5000, 7390, 520_609), layout=Layout("\t", True, rating=None)
            ),
            "ratings": Variant(("anime_ratings.dat",), layout=Layout("\t", True, scale=TEN_POINTS)),
        },
        "CooperUnion/anime-recommendations-database on Kaggle; sample by Case Recommender",
    ),
    Source(
        "lastfm_2k",
        "Last.fm 2K (HetRec 2011): artists and play counts, implicit",
        "lastfm-2k",
        (
            # the official file ends its lines with CR LF, the copy we hold with LF: no sha256 of the official bytes
            SourceFile("user_artists.dat", f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip", "user_artists.dat"),
        ),
        {"plays": Variant(("user_artists.dat",), counts=(1892, 17_632, 92_834), layout=Layout("\t", True))},
        "Cantador, Brusilovsky and Kuflik 2011",
        "research use (HetRec 2011)",
    ),
    Source(
        "yelp",
        "Yelp: businesses, the train/test pairs of the APR paper (implicit) and of the APT paper (ratings 1-5)",
        "yelp",
        (
            *_ncf("yelp", AMF),
            SourceFile("apt.yelp.train.rating", f"{APT}/yelp.train.rating"),
            SourceFile("apt.yelp.test.rating", f"{APT}/yelp.test.rating"),
        ),
        {
            "pair": Variant(
                ("yelp.train.rating", "yelp.test.rating"),
                layout=_PAIR,
                test="yelp.test.rating",
                negatives="yelp.test.negative",
                last="yelp.test.rating",
            ),
            "ratings": Variant(
                ("apt.yelp.train.rating", "apt.yelp.test.rating"),
                counts=(14_575, 25_602, 569_949),
                layout=Layout("\t", scale=FIVE_STARS),
                test="apt.yelp.test.rating",
            ),
        },
        "He et al. 2018 (APR); Wu et al. 2021 (APT)",
        "Yelp's terms",
    ),
    Source(
        "pinterest",
        "Pinterest-20: pins, NCF's train/test pair with 99 given negatives",
        "pinterest-20",
        _ncf("pinterest-20", NCF),
        {
            "pair": Variant(
                ("pinterest-20.train.rating", "pinterest-20.test.rating"),
                layout=_PAIR,
                test="pinterest-20.test.rating",
                negatives="pinterest-20.test.negative",
                last="pinterest-20.test.rating",
            )
        },
        "Geng et al. 2015; processed by He et al. 2017 (NCF)",
    ),
    Source(
        "netflix",
        "Netflix prize: movies, ratings 1-5 with date",
        "netflix",
        (SourceFile("combined_data_*.txt"), SourceFile("training_set/mv_*.txt")),
        {
            "combined": Variant(("combined_data_*.txt",), "netflix", layout=Layout(scale=FIVE_STARS)),
            "per_movie": Variant(("training_set/mv_*.txt",), "netflix", layout=Layout(scale=FIVE_STARS)),
        },
        "Bennett and Lanning 2007",
        "withdrawn by Netflix; no redistribution",
        "Netflix has withdrawn it; who may use it finds netflix-inc/netflix-prize-data on Kaggle (account needed)",
    ),
    Source(
        "lfm_1b",
        "LFM-1b: artists listened to, with time, implicit",
        "lfm-1b",
        (SourceFile("LFM-1b_LEs.txt"),),
        {"events": Variant(("LFM-1b_LEs.txt",), layout=Layout("\t", rating=None, time=4))},
        "Schedl 2016",
        "on request",
        "ask its authors at http://www.cp.jku.at/datasets/LFM-1b/",
    ),
    Source(
        "cora",
        "Cora, Cora-ML and Citeseer: papers that cite one another, a topic each",
        "cora",
        tuple(
            SourceFile(f"{name}.npz", f"{GITHUB}/danielzuegner/gnn-meta-attack/HEAD/data/{name}.npz", sha256=digest)
            for name, digest in (
                ("cora", "398a5c8f949a4f2a3c8fb248f777d2756c654de714762d6a18c04eaa19a96271"),
                ("cora_ml", "ffbe4e64857dc6bf38f1877e4312559a064df84b59d0f32f938717de5d5af0fd"),
                ("citeseer", "36e9a5bbe84eaa0c3c6b226f8b27450bb79246a5df22c375b3bacddb856efa8e"),
            )
        ),
        {name: Variant((f"{name}.npz",), "graph") for name in ("cora", "cora_ml", "citeseer")},
        "McCallum et al. 2000; Bojchevski and Guennemann 2018 (Cora-ML)",
    ),
)
SOURCES = {source.name: source for source in _ALL}

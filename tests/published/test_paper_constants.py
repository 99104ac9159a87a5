"""Each preset has the constants that its paper states: read there, cited, and held against the composed jobs."""

from fnmatch import fnmatch

import pytest

from recpoison.command.overrides import compose_sweep, is_sweep
from recpoison.paths import CONF_DIR
from recpoison.report.presets import Job, jobs_of

# Papers: apt (Wu et al. 2021), injection (Tang et al. 2020), msap (Anelli et al. 2021), apr_report (its table 2 and
# section 5). Each entry is: where it is said, then what the composed configuration has.
APT_OF_ALL = [
    ("apt 5.1.4: 30 independent repeats", {"repeats": 30}),
    *(
        (
            f"apt 5.1.5: HR@{k}, attack size {size:.0%}",
            {f"{data}:evaluation.cutoffs": f"[{k}]", f"{data}:attack.budget": size, "attack.n_fake_users": None},
        )
        for data, k, size in (
            ("filmtrust", 50, 0.03),
            ("ml_100k", 50, 0.03),
            ("ml_1m", 50, 0.03),
            ("yelp", 1000, 0.05),
        )
    ),
    ("apt 5.1.5: m' is the average number of ratings per user", {"attack.fillers": "mean"}),
    ("apt 5.1.5: 5 target items", {"attack.targets.count": 5}),
    ("apt 5.1.5: unpopular items have fewer than 5 ratings", {"attack.targets.below": 5}),
    # departs, as the preset says: the paper's 9:1 verification rows stay in training
    ("apt 5.1.1, as in the authors' code", {"dataset.split.validation": 0}),
]
APT = [
    *APT_OF_ALL,
    ("apt 5.1.5: 64 factors, 25 epochs, Adagrad", {"model.embedding_size": 64, "model.trainer.epochs": 25}),
    ("apt 5.1.5: Adagrad", {"model.trainer.optimizer": "adagrad"}),
    ("apt, the authors' code: its learning rate", {"filmtrust:model.trainer.learning_rate": 10.0}),
    ("apt, the authors' code: another on Yelp", {"yelp:model.trainer.learning_rate": 15.0}),
    *(
        (
            f"defense={defense}",  # apt 5.1.5, where r+ is 2 on FilmTrust, whose ratings are doubled
            {
                f"{data}:defense.fillers": fillers,
                f"{data}:defense.pre_training": begin,
                f"{data}:defense.interval": interval,
                f"{data}:defense.shift": shift,
                f"{data}:defense.n_erm_users": number,
                "defense.erm_users": 0.05,
                "defense.statistics": "before",  # as in the authors' code
            },
        )
        for defense in ("apt", "apt_rand")
        for data, fillers, begin, interval, shift, number in (
            ("filmtrust", 100, 4, 3, 2.0, 50),  # departs: 4 and 50 are the authors' code's
            ("ml_100k", 400, 15, 2, 1.0, None),
            ("ml_1m", 700, 15, 2, 1.0, None),
            ("yelp", 2500, 10, 2, 1.0, None),
        )
    ),
    *(
        ("defense=apt", {f"{data}:defense.temperature": value})
        for data, value in (("filmtrust", 40.0), ("ml_100k", 20.0), ("ml_1m", 20.0), ("yelp", 10.0))
    ),
    ("defense=at", {"defense.epsilon": 0.03}),
]
APT_LISTS = [("apt 5.1.5: 5 targets; the authors' lists and file of fake users", {"attack.targets.rule": "list"})]
APT_LISTS += [("apt, the authors' code: one file of fake users", {"attack.craft_seed": 0})]
COMPARED = [  # as in apt_table_2, and on one of its data sets alone
    *(entry for entry in APT_OF_ALL if "30 independent" not in entry[0]),
    ("our own: 5 seeds, and fake users of each", {"repeats": 5, "attack.craft_seed": None}),
    ("apt 5.1.5: the authors' targets", {"dataset.name": "ml_100k", "attack.targets.rule": "list"}),
]
FILTERS = [
    ("defense=filter*", {"defense.suspected": 0.05, "defense.n_suspected": None, "defense.oracle": False}),
    *(entry for entry in APT if entry[0].startswith("defense=")),
]
APT_FIGURES = [*APT[1:], *APT_LISTS, ("ours: the repeats of a figure", {"repeats": 3})]
TOY = [
    ("injection 3.1: 900 users, 300 items", {"dataset.n_users": 900, "dataset.n_items": 300}),
    ("injection 3.1: rank 20, threshold 5", {"dataset.rank": 20, "dataset.threshold": 5}),
    ("injection 3.1: one row of each user reserved", {"dataset.split.method": "leave_one_out_random"}),
    ("injection 3.1: 100 fake users", {"attack.n_fake_users": 100}),
    ("injection 3.1: one target", {"attack.targets.rule": "list", "attack.targets.items": "[0]"}),
    ("injection 3.1: 50 outer iterations", {"attack.outer.iterations": 50}),
    ("injection 3.1: HR@10", {"evaluation.cutoffs": "[10]", "evaluation.metrics": '["HR"]', "attack.cutoff": 10}),
    ("injection figures 3 and 4: 5 times", {"repeats": 5}),
    ("injection 3.1: promoting by the softmax of eq. 3", {"attack.objective": "promote", "attack.temperature": 1.0}),
]
TOY_WRMF = [
    ("injection 3.1: K = 16", {"attack.surrogate.embedding_size": 16, "model.embedding_size": 16}),
    ("injection 3.1: weight 20", {"attack.surrogate.weight": 20.0, "model.weight": 20.0}),
    ("injection 3.1: Adam", {"attack.surrogate.trainer.optimizer": "adam"}),
    ("injection 3.1: 100 steps on all data", {"attack.surrogate.trainer.epochs": 100}),
    ("injection 3.1: white box", {"model.trainer.epochs": 100, "model.trainer.learning_rate": 0.5}),
]
TOY_ITEM_AE = [
    ("injection 3.3: U-64-32-64-U", {"attack.surrogate.hidden": "[64, 32]", "model.hidden": "[64, 32]"}),
    ("injection 3.3: Adam, 100 iterations", {"attack.surrogate.trainer.optimizer": "adam"}),
    ("injection 3.3: 100 iterations", {"attack.surrogate.trainer.epochs": 100, "model.trainer.epochs": 100}),
]
GOWALLA = [
    ("injection 4.1: 15 feedbacks a user and item", {"dataset.name": "gowalla", "dataset.filters.k_core": 15}),
    ("injection 4.1: 20% at random for the test", {"dataset.split.method": "ratio", "dataset.split.test": 0.2}),
    ("injection 4.1: lists of 50", {"evaluation.cutoffs": "[50]"}),
]
GOWALLA_ATTACK = [
    ("injection 4.1: 1% fake users", {"attack.budget": 0.01, "attack.n_fake_users": None}),
    ("injection 4.1: 5 targets", {"attack.targets.count": 5}),
]
ANY_TARGET = [("injection 4.1: a hit if one of the items is in the list", {"evaluation.target_hr": "any"})]
VICTIMS = [  # injection table 1
    ("victim=gowalla_wrmf", {"model.embedding_size": 128, "model.weight": 20.0}),
    ("victim=gowalla_wrmf_als", {"model.embedding_size": 128, "model.weight": 20.0}),
    ("victim=gowalla_item_ae", {"model.hidden": "[256, 128]"}),
    ("victim=gowalla_neumf", {"model.embedding_size": 256, "model.hidden": "[128]"}),
    ("victim=gowalla_mult_vae", {"model.hidden_size": 512, "model.code_size": 256}),
    ("victim=gowalla_cml", {"model.embedding_size": 256, "model.margin": 10.0}),
    ("victim=gowalla_item_knn", {"model.similarity": "jaccard", "model.neighbors": 50}),
]
SURROGATES = [  # injection 4.2
    ("setting=gowalla_bilevel_wrmf", {"attack.surrogate.embedding_size": 128, "attack.surrogate.trainer.epochs": 50}),
    # departs, as the setting says: the paper's 10% of 350 steps are 35, the authors' code has 70
    ("setting=gowalla_bilevel_wrmf", {"attack.unroll_steps": 70, "attack.surrogate.trainer.optimizer": "adam"}),
    ("setting=gowalla_bilevel_item_ae", {"attack.surrogate.hidden": "[256, 128]", "attack.unroll_steps": 35}),
    ("setting=gowalla_bilevel_item_ae_pd", {"attack.surrogate.hidden": "[256, 128]", "attack.unroll_steps": 0}),
    ("setting=gowalla_wrmf_als_gradient", {"attack.surrogate.embedding_size": 128, "attack.weights": "detached"}),
]
BPR = [
    ("msap 4.4: 64 factors", {"model.embedding_size": 64, "model.regularization": 0.0}),
    ("msap 4.4: 2,000 epochs, batches of 512", {"model.trainer.epochs": 2000, "model.trainer.batch_size": 512}),
    ("msap 4.4: Adagrad, 0.05", {"model.trainer.optimizer": "adagrad", "model.trainer.learning_rate": 0.05}),
    ("msap 4.4: AMF from epoch 1,000, lambda 1", {"defense.from_epoch": 1000, "defense.weight": 1.0}),
    ("msap 4.4: the adversary of He et al.", {"defense.epsilon": 0.5, "defense.steps": 1}),
    ("msap 4.4: lists of 10", {"evaluation.cutoffs": "[10]"}),
]
MSAP = [
    *BPR,
    ("msap 4.4: epsilon 0.5", {"attack.epsilon": 0.5}),
    ("msap 4.4: the last row of ML-1M", {"ml_1m:dataset.split.method": "leave_one_out_last"}),
    ("msap 4.4: a random row of LastFM", {"lastfm_2k:dataset.split.method": "leave_one_out_random"}),
]
STEPS_25 = [
    ("setting=*_25", {"attack.steps": 25, "attack.projection": "box", "attack.step_size": None}),  # msap 5.1.2 eq. 6
]
STEPS_100 = [  # figure 1
    ("setting=msap_bim", {"attack.steps": 100, "attack.projection": "box", "attack.step_size": None}),
    ("setting=msap_pgd", {"attack.steps": 100, "attack.projection": "box", "attack.step_size": None}),
]
APR = [
    ("apr_report table 2: lambda 1", {"defense.weight": 1.0}),
    ("apr_report table 2: 1,000 epochs", {"model.trainer.epochs": 1000}),
    ("apr_report table 2: 64 factors", {"model.embedding_size": 64}),
    ("apr_report table 2: batches of 512, rate 0.05", {"model.trainer.batch_size": 512}),
    ("apr_report table 2: rate 0.05", {"model.trainer.learning_rate": 0.05}),
    ("apr_report tables 3 and 4: K = 50 and 100", {"evaluation.cutoffs": "[50, 100]"}),
    ("apr_report tables 3 and 4", {"evaluation.metrics": '["HR", "NDCG", "AUC"]'}),
    ("apr_report figures 8 and 9: every 20 epochs", {"evaluation.curve_epochs": 20}),
]
NOISE_GRID = [
    ("apr_report figure 7: over epsilon", {"evaluation.curve_epsilons": "[0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0]"})
]

OF_EDGES = [
    ("metagradient_report 4.2: the loss of edges and zeros", {"defense._target_": "recpoison.defenses.none.NoDefense"}),
    ("ours: Adam", {"model.edge_trainer.optimizer": "adam"}),
]
ALL_EDGES = [
    *OF_EDGES,
    ("metagradient_report 4.2: 2,000 flips are 2% of all zeros", {"evaluation.unseen": 0, "evaluation.edges": "train"}),
    ("metagradient_report 4.2: GMF", {"model._target_": "recpoison.models.gmf.GMF"}),
    ("ml_100k, metagradient_report table 4.19: as many as edges", {"ml_100k:evaluation.zeros": None}),
    *(
        (f"metagradient_report table 4.19: zeros of {data}", {f"{data}:evaluation.zeros": zeros})
        for data, zeros in (("steam", 100_000), ("netflix", 1_500_000), ("anime", 200_000))
    ),
]
FLIPPED_ONCE = [("metagradient_report 4.2: one attack, read at each row", {"attack.plan": 10_000})]
TWO_LAYERS = [  # 4.2: two hidden layers; widths are ours
    ("victim=metagradient_gmf", {"model.hidden": "[8, 8]"}),
    ("victim=metagradient_gmf_all_edges", {"model.hidden": "[16, 8]"}),
]
HELD_OUT = [*OF_EDGES, ("ours: a fifth is held out", {"evaluation.unseen": 0.2, "dataset.name": "ml_100k"})]
NEW_USERS = [  # tables 4.15 and 4.16
    (f"setting=metagradient_new_users_{row}", {"attack.n_flips": n, "attack.new_users": users, "model.dropout": out})
    for row, (n, users, out) in enumerate(
        [(5000, 50, 0.2), (10_000, 20, 0.0), (5000, 20, 0.2), (5000, 30, 0.0), (5000, 15, 0.2), (10_000, 100, 0.0),
         (10_000, 10, 0.0)]
    )
]  # fmt: skip
SIMILAR_USERS = [  # tables 4.17 and 4.18
    (
        f"setting=metagradient_similar_users_{row}",
        {"attack.n_flips": flips, "attack.similar_users": users, "attack.kmeans": kmeans},
    )
    for row, (flips, users, kmeans) in enumerate(
        [(5000, 200, False), (10_000, 200, True), (10_000, 300, False), (10_000, 300, True), (10_000, 300, False),
         (10_000, 300, False), (10_000, 943, False), (10_000, 500, False), (10_000, 943, False), (10_000, 943, True)]
    )
]  # fmt: skip

AUDIT = [("issue 16", {"evaluation.curve_fakes": "[1, 10, 30]"}), ("issue 16", {"evaluation.cutoffs": "[10]"})]
STANDARD = [  # equal fake users and equal clicks for every attack
    ("issue 14", {"attack.budget": 0.05, "attack.targets.count": 5, "evaluation.ties": "against"}),
    ("issue 14", {"repeats": 3, "dataset.filters.implicit": True}),
]
STATED = {
    "metagradient_table_4_1": [
        ("metagradient_report 4.1: T = 100", {"attack.steps": 100, "attack.variant": "meta_train"}),
        ("metagradient_report 4.1: no constraints", {"attack.keep_connected": False}),
        ("metagradient_report table 4.1: up to 10%", {"attack.plan": 0.1}),
        ("Zügner and Günnemann's code", {"attack.learning_rate": 0.1, "attack.momentum": 0.9, "attack.hidden": 16}),
        ("Zügner and Günnemann's code: 20 fits", {"evaluation.retrainings": 20, "evaluation.labelled": 0.1}),
    ],
    "metagradient_table_4_2": ALL_EDGES + FLIPPED_ONCE + TWO_LAYERS,
    "metagradient_table_4_2_single": [*ALL_EDGES, ("ours: the first 200", {"attack.n_flips": 200}), *TWO_LAYERS],
    "metagradient_table_4_3": [
        *ALL_EDGES, *FLIPPED_ONCE,
        ("metagradient_report 4.7: 20 rows a user and game", {"dataset.filters.k_core": 20}),
    ],
    "metagradient_table_4_3_repeats": [
        *ALL_EDGES, *FLIPPED_ONCE,
        ("metagradient_report 4.7: 132,831 rows", {"dataset.filters.duplicates": "keep"}),
    ],
    "metagradient_table_4_4": [
        *ALL_EDGES,
        ("metagradient_report 4.7: 4 and 5 stars", {"dataset.filters.binarise_at": 4}),
        ("metagradient_report 4.7: 150 a user and movie", {"dataset.filters.min_user": 150, "attack.plan": 2000}),
        ("metagradient_report 4.7: 150 a movie", {"dataset.filters.min_item": 150}),
    ],
    "metagradient_table_4_5": [
        *ALL_EDGES, *FLIPPED_ONCE,
        ("metagradient_report 4.7: 30 series a user", {"dataset.filters.min_user": 30}),
        ("metagradient_report 4.7: 50 users a series", {"dataset.filters.min_item": 50}),
        ("metagradient_report 4.7: 2,000 users", {"dataset.filters.sample_users": 2000}),
    ],
    "metagradient_table_4_6": [
        *ALL_EDGES,
        ("setting=metagradient_exact", {"attack.approximate": False, "attack.initial_values": "victim"}),
        ("setting=metagradient_approximate", {"attack.approximate": True, "attack.initial_values": "victim"}),
        ("metagradient_report table 4.6: 1,000 flips", {"attack.plan": 1000}),
    ],
    "metagradient_table_4_7": HELD_OUT + FLIPPED_ONCE,
    "metagradient_table_4_9": HELD_OUT + FLIPPED_ONCE,
    "metagradient_table_4_11": HELD_OUT + FLIPPED_ONCE + TWO_LAYERS,
    "metagradient_table_4_13": HELD_OUT + FLIPPED_ONCE + TWO_LAYERS,
    "metagradient_table_4_15": HELD_OUT + NEW_USERS,
    "metagradient_table_4_17": HELD_OUT + SIMILAR_USERS,
    "metagradient_figure_4_9": [*HELD_OUT, ("metagradient_report 4.6: several perplexities", {
        "evaluation.perplexities": "[2.0, 10.0, 50.0]"
    })],
    "apt_table_2": APT + APT_LISTS,
    "apt_table_3": APT + APT_LISTS,
    "apt_figure_1": [*APT_FIGURES, ("apt figure 1: TNA", {"attack.budget": 0.03})],
    "apt_figure_2": [one for one in APT_FIGURES if "attack size" not in one[0]],
    "apt_figure_3": [one for one in APT_FIGURES if not one[0].startswith("defense=")],
    "apt_table_2_pcmf": APT_OF_ALL + APT_LISTS,
    "apt_table_2_drawn_pcmf": APT_OF_ALL,
    "apt_table_2_drawn": [*APT, ("apt 5.1.4: independent repeats", {"attack.craft_seed": None})],
    "injection_figure_3": [*TOY, *TOY_WRMF, ("injection 3.1: all steps", {"attack.unroll_steps": None})],
    "injection_figure_4": TOY + TOY_WRMF,
    "injection_figure_4_item_ae": TOY + TOY_ITEM_AE,
    "injection_table_1": [*GOWALLA, *VICTIMS, ("injection table 1", {"dataset.split.validation": 0})],
    "injection_table_2": GOWALLA + GOWALLA_ATTACK + ANY_TARGET + VICTIMS + SURROGATES,
    "injection_figure_5": [
        *GOWALLA, *GOWALLA_ATTACK, *ANY_TARGET, *VICTIMS, *SURROGATES,
        ("injection figure 5: 4 runs", {"repeats": 4}),
        ("injection 4.2: popular targets", {"attack.targets.rule": "head"}),
    ],
    "injection_figure_5_detection": [*GOWALLA[:2], *GOWALLA_ATTACK, *VICTIMS, *SURROGATES],
    "injection_ml_100k": [*GOWALLA[1:], *GOWALLA_ATTACK, *ANY_TARGET],
    "msap_table_1": [*MSAP, *STEPS_100, ("msap: authors' code", {"evaluation.select_on": "test"})],
    "msap_table_1_valid": [*MSAP, *STEPS_100, ("departs: free of the test rows", {"dataset.split.validation": 1})],
    "msap_figure_2": [*MSAP, *STEPS_25, ("msap 4.3", {"evaluation.metrics": '["NDCG"]'})],
    "msap_figure_3": [*MSAP, *STEPS_25, ("msap 4.3", {"evaluation.metrics": '["NDCG"]'})],
    "defenses_ml_100k": COMPARED + FILTERS,
    "defenses_ml_100k_pcmf": COMPARED,
    "lightgcn_gowalla": [
        ("victim=gowalla_lightgcn", {"model.layers": 3, "model.embedding_size": 64, "model.regularization": 1e-4}),
        ("victim=gowalla_lightgcn", {"model.trainer.epochs": 1000, "model.trainer.batch_size": 2048}),
        ("victim=gowalla_lightgcn", {"model.trainer.optimizer": "adam", "model.trainer.learning_rate": 0.001}),
        ("LightGCN's authors' log", {"evaluation.cutoffs": "[20]", "dataset.filters.k_core": 0}),
        ("LightGCN's authors' split", {"dataset.split.method": "given"}),
    ],
    "audit": AUDIT,
    "audit_quick": AUDIT[1:],
    "audit_ratings": AUDIT,
    "audit_thorough": AUDIT[1:],
    "standard_ml_100k": STANDARD,
    "standard_ml_100k_adversarial": STANDARD,
    "standard_ml_100k_whole": STANDARD,
    "standard_gowalla": STANDARD[:1],
    "standard_ml_100k_ratings": [
        ("issue: as many fake users and ratings of each", {"attack.budget": 0.05, "attack.fillers": "mean"}),
    ],
    "vat_gowalla": [
        ("defense=apr", {"defense.epsilon": 0.3, "defense.unit": "instance", "defense.from_epoch": 5}),  # D24.3, 4
        ("defense=vat", {"defense.epsilon": 0.6, "defense.user_lambda": 2.0, "defense.from_epoch": 5}),
        ("defense=pamacf", {"defense.epsilon": 0.9, "defense.user_lambda": 2.0, "defense.from_epoch": 5}),  # D25.2
        ("setting=*_as_authors", {"attack.repeated_clicks": "keep", "attack.min_length": 10}),  # D28.4
        ("setting=*_as_authors", {"attack.fake_split": "70-10-20"}),
        ("D24.8", {"evaluation.owners": "excluded", "evaluation.cutoffs": "[20, 50]"}),
    ],
    "equal_budget": [*BPR, ("setting=equal_budget_[bp]*", {"attack.steps": 25})],  # msap 5.1.2
    "apr_report_table_3": [*APR, ("apr_report table 3", {"dataset.name": "book_crossing"})],
    "apr_report_table_4": [*APR, ("apr_report table 4", {"dataset.name": "yelp"})],
    "apr_report_table_4_gowalla": [*APR, ("a stand-in", {"dataset.split.method": "leave_one_out_random"})],
    "apr_report_figure_7": APR[1:] + NOISE_GRID,  # distillation has no lambda: see below
}  # fmt: skip
GRIDS = {  # what a figure or table has along its axes
    "metagradient_table_4_1": {"attack.budget": {0.025, 0.05, 0.1}, "dataset.variant": {"cora_ml", "cora"}},
    "metagradient_table_4_2": {"attack.n_flips": {2000, 4000, 6000, 8000, 10_000}},
    "metagradient_table_4_4": {"attack.n_flips": {400, 800, 1200, 1600, 2000}},
    "metagradient_table_4_6": {"attack.n_flips": {200, 400, 600, 800, 1000}},
    "metagradient_table_4_7": {"evaluation.edges": {"train", "unseen"}},
    "apt_table_2": {"dataset.name": {"filmtrust", "ml_100k", "ml_1m", "yelp"}},
    "apt_figure_1": {"dataset.name": {"ml_100k"}},
    "apt_figure_2": {"attack.budget": {0.01, 0.02, 0.03, 0.04, 0.05}, "dataset.name": {"filmtrust", "ml_100k"}},
    "apt_figure_3": {"defense.erm_users": {0.01, 0.02, 0.05, 0.1, 0.2}},  # section 5.5, with 0 for no defense
    "injection_figure_4": {"attack.unroll_steps": {0, 1, 5, 10, 20, 40, 60, 80, 100}},
    "injection_table_2": {"attack.targets.rule": {"head", "upper_torso", "lower_torso", "tail"}},  # section 4.3
    "msap_figure_3": {"dataset.filters.k_core": set(range(10, 101, 10))},  # section 5.2: ten k-cores, 10 to 100
    "msap_table_1": {"dataset.name": {"ml_1m", "lastfm_2k"}},
}


def jobs(preset: str) -> tuple[Job, ...]:
    return jobs_of(preset)


def test_every_preset_is_held_against_its_paper():
    searches = {"tune_model", "tune_attack"}  # of nobody's paper
    assert STATED.keys() | searches == {file.stem for file in (CONF_DIR / "experiment").glob("*.yaml")}


BIG = {
    "msap_figure_3",
    "vat_gowalla",
    "injection_table_2",
    "injection_figure_5",
    "injection_ml_100k",
    "apt_figure_2",
    "apt_figure_3",
    "apt_table_2",
    "apt_table_2_drawn",
    "apt_table_3",
    "apt_table_2_pcmf",
    "apt_table_2_drawn_pcmf",
    "defenses_ml_100k",
    "defenses_ml_100k_pcmf",
    "equal_budget",
    "standard_ml_100k",
    "standard_ml_100k_adversarial",
    "standard_ml_100k_whole",
    "standard_gowalla",
    "audit_quick",
    "audit",
    "audit_thorough",
    *(name for name in STATED if name.startswith("metagradient_")),
}  # many jobs to compose, of kinds that others have too


def test_every_option_that_is_spoken_of_exists():
    for where in (where for entries in STATED.values() for where, _ in entries):
        group, _, option = where.partition("=")
        if group in ("victim", "setting", "defense"):
            assert list((CONF_DIR / group).glob(f"{option}.yaml")), where


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[pytest.mark.slow] * (name in BIG)) for name in sorted(STATED)]
)
def test_constants_that_the_paper_states(preset):
    """A place that names an option (``victim=x``) speaks of its jobs alone; ``ml_1m:key`` of a dataset's alone."""
    met = set()
    for job in jobs(preset):
        for place, (where, constants) in enumerate(STATED[preset]):
            group, _, option = where.partition("=")
            if group in ("victim", "setting", "defense") and not fnmatch(str(job.choices.get(group)), option):
                continue
            for key, value in constants.items():
                data, _, name = key.rpartition(":")
                if data in ("", job.choices["dataset"]):
                    assert job.config[name] == value, f"{where}: {name} of {job.overrides}"
            met.add(place)
    spoken = {place for place, (where, _) in enumerate(STATED[preset]) if "=" not in where.partition(" ")[0]}
    assert spoken <= met
    assert met


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[pytest.mark.slow] * (name in BIG)) for name in sorted(GRIDS)]
)
def test_grids_are_the_papers(preset):
    for key, wanted in GRIDS[preset].items():
        assert {job.config[key] for job in jobs(preset)} == wanted


def test_figure_7_sets_adversarial_training_as_the_tables_do():
    aprs = [job for job in jobs("apr_report_figure_7") if job.choices["defense"] == "apr"]
    assert aprs
    assert {(job.config["defense.weight"], job.config["defense.epsilon"]) for job in aprs} == {(1.0, 0.5)}


@pytest.mark.parametrize("preset", ["injection_figure_3", "apr_report_table_3"])
def test_jobs_are_those_of_the_sweep(preset):
    """A single run is one job; a sweep's are Hydra's own."""
    words = [f"experiment={preset}"]
    expected = len(compose_sweep(words).jobs) if is_sweep(words) else 1
    assert len(jobs(preset)) == expected


def test_figure_2_goes_from_a_thousandth_to_ten():
    import json

    for job in jobs("msap_figure_2"):  # section 5.1.2
        epsilons = json.loads(job.config["evaluation.curve_epsilons"])
        assert (epsilons[0], epsilons[-1]) == (0.001, 10.0)

"""The GPU benchmark's networks, demands and tables: pure arithmetic on measured rates."""

import statistics

# What paceline demands of itself at batch 128: images/s over PyTorch's best, and over eager.
NETWORKS = {
    "resnet20": {"image": "3x32x32", "steps": 200, "best": 1.5, "eager": 4.0,
                 "compiled": ["compile reduce-overhead"]},
    "vgg16": {"image": "3x32x32", "steps": 100, "best": 1.1, "eager": None,
              "compiled": ["compile reduce-overhead"]},
    "resnet50": {"image": "3x224x224", "steps": 20, "best": 1.0, "eager": None,
                 "compiled": ["compile default"]},
}  # fmt: skip
AUTOTUNED = "compile max-autotune-no-cudagraphs"  # takes minutes to compile
WORKERS = {"aggregate": 1.5, "coordination": 0.01}


def best_of(variants):
    """@return name and median of the fastest variant; None, None of none"""
    medians = {name: statistics.median(rates) for name, rates in variants.items() if rates}
    name = max(medians, key=medians.get, default=None)
    return name, medians.get(name)


def ratio_rows(races):
    """@param races  network: {"paceline": [images/s], "pytorch": {variant: [images/s]}}"""
    rows = []
    for network, race in races.items():
        if not race["paceline"]:
            continue
        ours, demand = statistics.median(race["paceline"]), NETWORKS[network]
        name, best = best_of(race["pytorch"])
        _, eager = best_of({k: v for k, v in race["pytorch"].items() if k == "eager"})
        row = {"what": network, "paceline": ours, "spread": [min(race["paceline"]), max(race["paceline"])],
               "best": best, "best_is": name, "eager": eager,
               "ratio": ours / best if best else None, "demanded": demand["best"],
               "over_eager": ours / eager if eager else None, "eager_demanded": demand["eager"]}  # fmt: skip
        checks = [(row["ratio"], row["demanded"]), (row["over_eager"], row["eager_demanded"])]
        known = [ratio >= wanted for ratio, wanted in checks if ratio is not None and wanted is not None]
        row["met"] = all(known) if row["ratio"] is not None else None
        rows.append(row)
    return rows


def workers_row(crews):
    """@param crews  number of workers: figures of `paceline train --json`"""
    one, four = crews[1]["images_per_second"], crews[4]["images_per_second"]
    coordination = crews[4]["coordination_fraction"]
    ratio = four / one
    met = ratio >= WORKERS["aggregate"] and coordination is not None and coordination < WORKERS["coordination"]
    return {"what": "four LSGD workers, resnet20, tau 4", "paceline": four, "best": one, "best_is": "one worker",
            "eager": None, "ratio": ratio, "demanded": WORKERS["aggregate"], "over_eager": None,
            "eager_demanded": None, "coordination_fraction": coordination, "met": met}  # fmt: skip


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def demand(row):
    text = f"≥ {row['demanded']}"
    if row["eager_demanded"]:
        text += f", over eager ≥ {row['eager_demanded']:g}"
    if "coordination_fraction" in row:
        text += f", coordination < {WORKERS['coordination']}"
    return text


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def markdown(rows, notes):
    head = ["network", "paceline, images/s", "against, images/s", "which is", "eager, images/s", "ratio",
            "over eager", "demanded", "met"]  # fmt: skip
    cells = []
    for row in rows:
        which = row["best_is"] or "nothing"
        if row.get("coordination_fraction") is not None:
            which += f"; coordination {row['coordination_fraction']:.4f}"
        cells.append([row["what"], number(row["paceline"]), number(row["best"]), which, number(row["eager"]),
                      number(row["ratio"], 2), number(row["over_eager"], 2), demand(row),
                      {True: "yes", False: "no", None: "not known"}[row["met"]]])  # fmt: skip
    text = table(head, cells)
    if notes:
        text += "\nLeft out or short:\n\n" + "".join(f"- {note}\n" for note in notes)
    return text

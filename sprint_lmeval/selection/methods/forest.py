"""A random forest as a measure of likeness: two questions are alike as often as they fall into the same leaf.

In: features and outcomes of training questions. Out: for any question the weights of the training questions (Breiman,
2001; Meinshausen, 2006). Trees are kept as plain arrays, so that a selector needs no pickle; scikit-learn grows them.
"""

from __future__ import annotations

import numpy as np

from sprint_lmeval.errors import InputError, needs

Tensors = dict[str, np.ndarray]
LEAF = -1
MOST_NODES = 50_000_000


def grow(features: np.ndarray, targets: np.ndarray, trees: int, leaf: int, share: float, seed: int) -> Tensors:
    """Grow a forest that predicts all targets at once.

    Args:
        features: float32 [n, F].
        targets: [n, m].
        trees: how many.
        leaf: least number of (drawn) questions in a leaf.
        share: of the features, drawn anew for every split.
        seed: of the drawing of questions and features.

    Returns:
        node_feature, node_left, node_right int32 and node_threshold float32, all [nodes], the trees one behind the
        other; tree_start int32 [trees]; example_leaf int32 [n, trees]: the node each training question falls into.
    """
    needs("train", "sklearn")
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(trees, min_samples_leaf=leaf, max_features=share, random_state=seed)
    model.fit(features, targets.astype(np.float32))
    grown = [each.tree_ for each in model.estimators_]
    starts = np.cumsum([0, *[tree.node_count for tree in grown[:-1]]])

    tensors = {
        "node_feature": np.concatenate([np.maximum(tree.feature, 0) for tree in grown]).astype(np.int32),
        "node_threshold": np.concatenate([tree.threshold for tree in grown]).astype(np.float32),
        "node_left": _side(grown, starts, "children_left"),
        "node_right": _side(grown, starts, "children_right"),
        "tree_start": starts.astype(np.int32),
    }
    return {**tensors, "example_leaf": leaves(tensors, features)}


def _side(grown: list, starts: np.ndarray, name: str) -> np.ndarray:
    sides = [np.where(getattr(t, name) == -1, LEAF, getattr(t, name) + s) for t, s in zip(grown, starts, strict=True)]
    return np.concatenate(sides).astype(np.int32)


def shapes() -> dict[str, tuple[str, tuple]]:
    """Return the dtypes and shapes of `grow`'s arrays; letters are sizes (n questions)."""
    nodes = dict.fromkeys(("node_feature", "node_left", "node_right"), ("int32", ("nodes",)))
    more = {"tree_start": ("int32", ("trees",)), "example_leaf": ("int32", ("n", "trees"))}
    return {**nodes, "node_threshold": ("float32", ("nodes",)), **more}


def check(tensors: Tensors, features: int) -> None:
    """Raise InputError unless every walk through the trees ends, and at a node that is there."""
    nodes, left, right = len(tensors["node_left"]), tensors["node_left"], tensors["node_right"]
    if nodes > MOST_NODES:
        raise InputError(f"the forest has {nodes:,} nodes, at most {MOST_NODES:,} are read")
    own = np.arange(nodes)
    inner = left != LEAF
    sides_agree = (inner == (right != LEAF)).all()
    go_on = (left[inner] > own[inner]).all() and (right[inner] > own[inner]).all()  # so that no walk turns back
    inside = max(left.max(), right.max()) < nodes and _within(tensors["node_feature"], features)
    leaves_there = _within(tensors["tree_start"], nodes) and _within(tensors["example_leaf"], nodes)
    if not (sides_agree and go_on and inside and leaves_there):
        raise InputError("the forest's nodes do not make trees: take an unchanged copy, or train it anew")


def _within(array: np.ndarray, limit: int) -> bool:
    return bool(array.min() >= 0 and array.max() < limit)


def leaves(tensors: Tensors, features: np.ndarray) -> np.ndarray:
    """Return int32 [n, trees]: the node at which each row of features ends in each tree."""
    at = np.tile(tensors["tree_start"], (len(features), 1))
    rows = np.arange(len(features))[:, None]
    while True:
        left = tensors["node_left"][at]
        if (left == LEAF).all():
            return at.astype(np.int32)
        low = features[rows, tensors["node_feature"][at]] <= tensors["node_threshold"][at]
        at = np.where(left == LEAF, at, np.where(low, left, tensors["node_right"][at]))


def likeness(tensors: Tensors, features: np.ndarray) -> np.ndarray:
    """Return float32 [n, examples]: the weights of the training questions, each row of sum 1."""
    found, known = leaves(tensors, features), tensors["example_leaf"]
    weights = np.zeros((len(features), len(known)), np.float32)
    for tree in range(known.shape[1]):
        sizes = np.bincount(known[:, tree], minlength=found[:, tree].max() + 1)
        same = found[:, tree, None] == known[None, :, tree]
        weights += same / np.maximum(sizes[found[:, tree]], 1)[:, None].astype(np.float32)
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)

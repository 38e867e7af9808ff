"""Whether a profile's figure may judge an engine: only the graph, the weights and the data that own it."""

from __future__ import annotations

from dataclasses import dataclass

from fixtures.data import Data
from fixtures.model import Figure, Profile


@dataclass(frozen=True)
class Basis:
    """A reference figure, what it is called in every line, and why it does not apply (nothing, where it does).

    `unmet` is what the user asked for: other weights, other data, a subset. `broken` is what nobody asked for: the
    profile's own weights or data are not those that its figure was measured with.
    """

    figure: Figure
    name: str
    unmet: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def basis(profile: Profile, name: str, data: Data, network: str, own_weights: bool, unit: str) -> Basis:
    """Return the figure of a profile with every reason not to apply it to this network on these data.

    `network` is the fingerprint of the fp32 source graph at the accuracy size, `unit` what the metric's figures have.
    """
    figure = profile.reference
    unmet, broken = [], []
    if unit != figure.unit:
        broken.append(f"the metric's figures are in {unit}, the reference in {figure.unit}")
    if not own_weights:
        unmet.append("other weights than the profile's")
    if data.own and network != figure.network:
        (broken if own_weights else unmet).append(
            f"another network: expected fingerprint {figure.network}, found {network}"
        )
    if not data.own:
        unmet.append(f"{data.folder.name} is not the data of the {name} profile")
    if len(data.names) < data.of:
        unmet.append(f"a subset of {len(data.names)} of {data.of} images")
    elif data.own and figure.data not in (None, data.digest):
        broken.append(f"the data have changed: expected digest {figure.data}, found {data.digest}")
    return Basis(figure, f"{name} reference", tuple(unmet), tuple(broken))

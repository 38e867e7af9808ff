"""Whether a profile's figure may judge an engine: only the graph, the weights and the data that own it."""

from __future__ import annotations

from dataclasses import dataclass

from fixtures.data import Data
from fixtures.model import Figure, Profile


@dataclass(frozen=True)
class Basis:
    """A reference figure, what it is called in every line, and why it does not apply (nothing, where it does)."""

    figure: Figure
    name: str
    unmet: tuple[str, ...]


def basis(profile: Profile, name: str, data: Data, network: str, own_weights: bool) -> Basis:
    """Return the figure of a profile with every reason not to apply it to this network on these data.

    `network` is the fingerprint of the fp32 source graph at the accuracy size.
    """
    figure = profile.reference
    unmet = []
    if not own_weights:
        unmet.append("other weights than the profile's")
    if not data.own:
        unmet.append(f"{data.folder.name} is not the data of the {name} profile")
    if len(data.names) < data.of:
        unmet.append(f"a subset of {len(data.names)} of {data.of} images")
    elif data.own and figure.data not in (None, data.digest):
        unmet.append(f"the data have changed: digest {data.digest[:12]}, the figure belongs to {str(figure.data)[:12]}")
    if data.own and network != figure.network:
        unmet.append(f"another network: fingerprint {network[:12]}, the figure belongs to {figure.network[:12]}")
    return Basis(figure, f"{name} reference", tuple(unmet))

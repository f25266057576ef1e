"""A session that answers messages: over standard input, a folder, or HTTP with a page."""

from boed.live.experiment import LiveExperiment, make_experiment
from boed.live.folder import Folder
from boed.live.folders import Folders
from boed.live.live_session import LiveSession
from boed.live.making import live_maker, make_live
from boed.live.sessions import Sessions
from boed.live.stdio import answer_lines

__all__ = [
    "Folder",
    "Folders",
    "LiveExperiment",
    "LiveSession",
    "Sessions",
    "answer_lines",
    "live_maker",
    "make_experiment",
    "make_live",
]

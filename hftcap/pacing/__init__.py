"""Paced replay: when each record is due, waiting for it, and how well that was kept."""

from hftcap.pacing.grade import Grade, Verdict, grade
from hftcap.pacing.pacer import Pacer
from hftcap.pacing.timeline import Pace, Schedule, mps_of, speed_of

__all__ = ["Grade", "Pace", "Pacer", "Schedule", "Verdict", "grade", "mps_of", "speed_of"]

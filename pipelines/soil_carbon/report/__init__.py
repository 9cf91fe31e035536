"""The report of a run: one self-contained page, written from what lies in the run's folder."""

from pipelines.soil_carbon.report.page import write_report

__all__ = ["write_report"]

import pytest
from report_findings import ARRAYS, findings_of

from klimit.reports.frontier.findings import Findings


@pytest.fixture(params=ARRAYS)
def any_findings(request) -> Findings:
    """Findings over each of the arrays in turn."""
    return findings_of(ARRAYS[request.param])

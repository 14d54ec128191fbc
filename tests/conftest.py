"""What several test modules use."""

import logging

import pytest


@pytest.fixture
def harness_log(caplog):
    """The log of the harness and of this package below it; the harness keeps it from the root logger."""
    logger = logging.getLogger("lm_eval")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)

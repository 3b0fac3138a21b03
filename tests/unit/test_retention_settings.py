"""Any age of the settings has the job run that takes away what is too old."""

import pytest

from insights.site.audit import RetentionSettings


@pytest.mark.parametrize("name", sorted(RetentionSettings.model_fields.keys() - {"every"}))
def test_each_age_asks_for_the_job(name: str) -> None:
    assert RetentionSettings.model_validate({name: "30d"}).has_ages
    assert not RetentionSettings().has_ages

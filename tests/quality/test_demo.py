"""The published expectation for the demo model, on real weights; minutes on two cores."""

import pytest

from costlib.models import demo
from costlib.quality.depth import by_depth
from costlib.quality.gate import gate
from costlib.quality.text import measure_text


@pytest.mark.slow
@pytest.mark.skipif(not demo.installed(), reason="the demo weights are not installed")
def test_the_demo_model_loses_little_at_int8_and_much_at_nf4(tmp_path):
    """4,096 tokens of pydoc_data.topics in windows of 1,024: perplexity near 21.8, 22.1 and 28.1.

    The text differs a little between Python versions, hence the tolerances.
    """
    found = measure_text("demo:gemma-3-270m", ["bf16", "int8", "nf4"], store=tmp_path, device="cpu")
    rows = {row["precision"]: row for row in found.to_dict("records")}
    assert [row["status"] for row in rows.values()] == ["ok"] * 3
    assert rows["bf16"]["ppl_rolling"] == pytest.approx(21.8, rel=0.03)
    assert rows["int8"]["ppl_rolling"] == pytest.approx(22.1, rel=0.03)
    assert rows["nf4"]["ppl_rolling"] == pytest.approx(28.1, rel=0.03)
    assert rows["nf4"]["ppl_p_value"] < 1e-6
    assert rows["int8"]["ppl_ratio_low"] < 1.01
    assert 0 < rows["int8"]["kl_mean_low"] < rows["int8"]["kl_mean"] < rows["nf4"]["kl_mean"] / 5
    depths = by_depth(rows["nf4"], rows["bf16"])
    assert [part.loss.n for part in depths] == [1024] * 4
    assert all(part.loss.low > 0 for part in depths)
    assert all("de-quantized 4-bit" in row["weights_note"] for row in rows.values())
    assert gate(rows["int8"], 1.05).passed
    assert not gate(rows["nf4"], 1.05).passed

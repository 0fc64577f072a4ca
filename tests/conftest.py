"""Shared fixtures: every test has its own store and cache, and a tiny model that loads in a moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTLIB_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("COSTLIB_DATA", raising=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer Llama of random weights; 64-wide, so that 4-bit blocks fit."""
    import torch
    import transformers

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def run_row(**changes: Any) -> dict[str, Any]:
    """A complete row of the runs table, with `changes`."""
    row: dict[str, Any] = {
        "run_id": "20261101T000000Z-00000000",
        "campaign": "20261101T000000Z-aaaaaaaa",
        "started_at": "2026-11-01T00:00:00+00:00",
        "model": "path:tiny",
        "precision": "bf16",
        "engine": "eager",
        "batch": 2,
        "prompt_tokens": 100,
        "output_tokens": 11,
        "device": "CPU, 2 cores (test)",
        "status": "ok",
        "ttft_s": [0.5],
        "decode_s": [2.0],
        "flags": [""],
        "load_s": 1.0,
        "wall_s": 10.0,
        "weight_bytes": 1000,
        "process_peak_bytes": 5000,
        "fingerprint": "f" * 16,
        "environment": "{}",
    }
    return row | changes


def runs_frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows as a checked frame."""
    from costlib.tables import RUNS

    return RUNS.validate(pd.DataFrame(list(rows)))

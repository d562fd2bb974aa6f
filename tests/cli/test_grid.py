"""CSV and Markdown: rows that spreadsheets and pages read, with nothing in them that runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from cli.grid import Grid, flat, render
from cli.output import clean
from tests.cli.support import DIGEST, Shop, run, run_process


def written(form: str, *items: dict, columns: tuple[str, ...] = ("a",)) -> str:
    return "".join(render(form, Grid(columns, items), clean))


def parsed(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\nx", "=cmd|' /C calc'!A0", "＝1"]  # noqa: RUF001
)  # fmt: skip
def test_a_formula_is_disarmed(text: str):
    assert parsed(written("csv", {"a": text}))[1] == ["'" + text]


def test_what_cleaning_uncovers_is_disarmed_too():
    assert parsed(written("csv", {"a": "\r=1"}))[1] == ["'=1"]
    assert parsed(written("csv", {"a": "\x1b\x07=1"}))[1] == ["'=1"]


def test_an_element_of_a_list_cannot_begin_a_cell_where_semicolons_part_cells():
    text = written("csv", {"a": ["x", "=1"]})
    assert text == 'a\r\n"x; =1"\r\n'


@pytest.mark.parametrize(
    ("value", "cell"),
    [(-5, "-5"), (-0.5, "-0.5"), (1e300, "1e+300"), (True, "true"), (None, ""), ("", ""), ([], ""), ({}, ""), (0, "0")],
)
def test_values_keep_their_kind(value: object, cell: str):
    assert written("csv", {"a": value}) == f"a\r\n{cell}\r\n"


def test_rfc_4180():
    awkward = 'says "a, b"\nand more'
    text = written("csv", {"a": awkward, "b": {"c": "é"}}, columns=("a", "b.c"))
    assert text == 'a,b.c\r\n"says ""a, b""\nand more",é\r\n'
    assert parsed(text) == [["a", "b.c"], [awkward, "é"]]


def test_what_has_no_flat_form_is_json_in_its_cell():
    assert parsed(written("csv", {"a": [{"x": 1}]}))[1] == ['[{"x": 1}]']
    assert flat({"a": {"b": {"c": 1}}, "d": [1], "e": {}}) == {"a.b.c": 1, "d": [1], "e": {}}


def test_markdown_is_text_and_not_markup():
    text = written("md", {"a": "x|y\n<script>`*_[z](u)\\"})
    assert text == "| a |\n| --- |\n| x\\|y<br>&lt;script&gt;\\`\\*\\_\\[z\\](u)\\\\ |\n"


LISTS = {
    ("log",): "index,entry.recorded_at,event.time,entry.type,entry.subject,entry.actor,entry.stream,entry.revision,"
    "entry.id,leaf_hash,event.data",
    ("state",): "kind,subject,status,digest,owner,tier,run,approvals,metrics,live_in,live,live_since,live_entry,marks,"
    "previous,aliases,canary,canary_since,canary_entry,stage,traffic,verdict",
    ("timeline", "incident:1"): "index,occurred_at,recorded_at,seconds_from_opening,seconds_since_last,lane,type,"
    "subject,actor,what,changed,compared_with,why_here,upstream,caused_by,marks,leaf_hash",
    ("lineage", "incident:1"): "downstream,relation,upstream,index,digest,occurred_at,actor,suspect",
    ("impact", "model:tx"): "standing,deployment,model,status,digest,since,until,index,marks,path",
    ("diff", "model:tx@1", "model:tx@2"): "section,field,before,after,delta,ratio",
    (
        "why",
        "model:tx@1",
    ): "asked,model,environment,allowed,condition,met,reason,index,type,actor,recorded_at,leaf_hash,"
    "says,holds,trouble,words,cites,suspect",
    (
        "history",
        "model:tx@1",
    ): "index,occurred_at,recorded_at,type,subject,actor,on_behalf_of,what,why_here,verdict,marks,"
    "suspect,strength,id,leaf_hash",
    ("inventory",): "model,title,tier,owner,on_call,third_party,latest,status,live,approvals,refusals,waivers,"
    "emergencies,findings,last_evaluation,other_tiers",
    ("import", "template"): "column,required,meaning,example",
    (
        "import",
        "inventory",
        "models.csv",
        *("--waivers-until", "9d", "--control", "x", "--as", "p-owner"),
    ): "line,model,deployment,owner,tier,new_events,missing,waived,asked_for,nothing_against_it,satisfied",
    (
        "import",
        "status",
    ): "model,deployment,standing,policy,missing,asked_for,waived,next_end,nothing_against_it,satisfied",
    ("actor", "list"): "actor,name,kind,person,roles,revoked,keys,private_key_here",
    ("emitter", "list"): "actor,emitter,highest,missing,ranges,declared,late,closed.last,after_close,"
    "heartbeat.heard,heartbeat.interval,overdue",
    ("key", "list"): "keyid,actor,alg,enrolled,revoked,private_key_here,ends",
    ("incident", "list"): "incident,status,severity,opened_at,title,index",
    ("waiver", "list"): "waiver,state,check,model,environment,owner,until,used,max_uses,trouble,index,"
    "reason,compensating_control,requested_by",
    ("projection", "status"): "projection,size,log_size,lag,current",
    ("projection", "rebuild"): "projection,equal",
    ("emit", "--list"): "type,version,subject,category,roles,fields,erasable,personal,summary",
    ("report", "list"): "name,title",
    ("report", "generate", "control-assessment"): "control,control_state,title,subject,index,state,reason,evidence",
    ("doctor",): "check,state,message,next",
}


def test_headers_are_the_published_ones(any_shop: Shop):
    """They never change inside a major version; every row has their number of cells."""
    any_shop.version()
    any_shop.version("model:tx@2")
    run("record", "deployment", "deployment:dev/tx", "--model", "model:tx@1").good()
    run("incident", "open", "incident:1", "--title", "=HYPERLINK(1)", "--deployment", "deployment:dev/tx").good()
    run("emitter", "close", "019b0000-0000-7000-8000-0000000000e1", "--last", 1).good()
    any_shop.enrol("p-owner", "owner", "emitter")
    sheet = run("import", "template").good().out
    Path("models.csv").write_text(sheet)
    for command, header in LISTS.items():
        text = run(*command, "-o", "csv").good().out
        first, *rows = parsed(text)
        assert ",".join(first) == header
        assert rows
        assert {len(row) for row in rows} == {len(first)}, command
        assert text.endswith("\r\n")
        page = run(*command, "-o", "md").good().out.splitlines()
        assert len(page) == len(rows) + 2, command
    assert "'=HYPERLINK(1)" in run("incident", "list", "-o", "csv").out


def test_an_empty_list_still_has_its_header(shop: Shop):
    assert run("incident", "list", "-o", "csv").good().out == LISTS["incident", "list"] + "\r\n"
    assert run("log", "nothing:here", "-o", "csv").good().out == LISTS[("log",)] + "\r\n"


def test_one_object_is_one_row(shop: Shop):
    done = run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", "-o", "csv").good()
    header, row = parsed(done.out)
    assert dict(zip(header, row, strict=True))["stream"] == "dataset:tx"
    header, row = parsed(run("show", 2, "-o", "csv").good().out)
    assert dict(zip(header, row, strict=True))["event.data.digest"] == DIGEST


def test_csv_is_utf8_whatever_the_terminal_speaks(shop: Shop):
    run("incident", "open", "incident:1", "--title", "Prüfung").good()
    done = run_process("incident", "list", "-o", "csv", cwd=shop.folder, PYTHONIOENCODING="latin-1").good()
    assert "Prüfung" in done.stdout.decode("utf-8")

"""Read models: what people look at, folded from the journal.

runner.py       follows the journal; checkpoints, rebuilding, lag, waiting for a position
projection.py   what a projection is
views.py        port: where the rows are           (adapters: gateways/views)
source.py       what is read of a journal
runs.py sessions.py facts.py budget.py blackboards.py workspaces.py audit.py
                one projection each: rows, queries, fold
audit_entry.py  an entry of the audit and its stored form
seal.py         signed statements of how far journal and audit went; ports for keys and for keeping seals
audit_verify.py compares journal, audit and seals
audit_export.py verifies an exported audit
audit_report.py what a verification found, and where
"""

from .audit import Audit, AuditHead
from .audit_entry import AuditEntry
from .audit_export import verify_export
from .audit_report import AuditReport, Finding
from .audit_verify import verify_audit
from .blackboards import Blackboards, BoardRow, Entry
from .budget import BudgetRow, BudgetView, UsageRow
from .facts import Belief, Facts
from .projection import Projection, ProjectionStopped
from .runner import Lag, Problem, Projections
from .runs import OpenCall, RunRow, Runs
from .seal import MemorySeals, Seal, SealLog, Signer
from .sessions import SessionRow, Sessions
from .views import Table, Transaction, Views
from .workspaces import AnswerRow, NoteRow, VersionRow, Workspaces

__all__ = [
    "AnswerRow",
    "Audit",
    "AuditEntry",
    "AuditHead",
    "AuditReport",
    "Belief",
    "Blackboards",
    "BoardRow",
    "BudgetRow",
    "BudgetView",
    "Entry",
    "Facts",
    "Finding",
    "Lag",
    "MemorySeals",
    "NoteRow",
    "OpenCall",
    "Problem",
    "Projection",
    "ProjectionStopped",
    "Projections",
    "RunRow",
    "Runs",
    "Seal",
    "SealLog",
    "SessionRow",
    "Sessions",
    "Signer",
    "Table",
    "Transaction",
    "UsageRow",
    "VersionRow",
    "Views",
    "Workspaces",
    "verify_audit",
    "verify_export",
]

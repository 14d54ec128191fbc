from sprint_lmeval.answers.verdicts import Verdict as Verdict
from sprint_lmeval.answers.verdicts import check_answer as check_answer
from sprint_lmeval.candidates import Candidate as Candidate
from sprint_lmeval.candidates import parse_candidates as parse_candidates
from sprint_lmeval.generation.decode import generate as generate
from sprint_lmeval.generation.rows import Response as Response
from sprint_lmeval.generation.rows import Row as Row
from sprint_lmeval.generation.rows import Settings as Settings
from sprint_lmeval.outcomes.matrix import OutcomeMatrix as OutcomeMatrix
from sprint_lmeval.passn.metrics import pass_at_k as pass_at_k
from sprint_lmeval.passn.metrics import unbiased_pass_at_k as unbiased_pass_at_k
from sprint_lmeval.pruning.hooks import prune_heads as prune_heads
from sprint_lmeval.selection.methods.sprint_loss import sprint_loss as sprint_loss
from sprint_lmeval.selection.selector import Selector as Selector
from sprint_lmeval.store.database import Store as Store

__version__: str

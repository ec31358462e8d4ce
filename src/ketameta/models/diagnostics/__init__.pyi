from ketameta.models.diagnostics.gosh import DEFAULT_SUBSETS as DEFAULT_SUBSETS
from ketameta.models.diagnostics.influence import baujat as baujat
from ketameta.models.diagnostics.second_engine import AGREEMENTS as AGREEMENTS
from ketameta.models.diagnostics.second_engine import TwoStage as TwoStage
from ketameta.models.diagnostics.second_engine import agrees_to as agrees_to

from ketameta.models.rare_events.binomial_normal import COARSE as COARSE
from ketameta.models.rare_events.binomial_normal import MODELS as MODELS
from ketameta.models.rare_events.binomial_normal import (
    ConditionalLikelihood as ConditionalLikelihood,
)
from ketameta.models.rare_events.binomial_normal import (
    UnconditionalLikelihood as UnconditionalLikelihood,
)
from ketameta.models.rare_events.mantel_haenszel import MEASURES as MEASURES
from ketameta.models.rare_events.mantel_haenszel import EventTables as EventTables
from ketameta.models.rare_events.mantel_haenszel import ZeroHandling as ZeroHandling
from ketameta.models.rare_events.mantel_haenszel import peto as peto
from ketameta.models.rare_events.mantel_haenszel import zero_caveats as zero_caveats
from ketameta.models.rare_events.one_group import OneGroup as OneGroup

from ketameta.models.dose.dose_response import DoseResponse as DoseResponse
from ketameta.models.dose.dose_response import curve_basis as curve_basis
from ketameta.models.dose.dose_response import knots_at as knots_at
from ketameta.models.dose.two_stage import TwoStage as TwoStage

from ketameta.models.dependent.che import che_sensitivity as che_sensitivity
from ketameta.models.dependent.likelihood import evaluate as evaluate
from ketameta.models.dependent.likelihood import log_likelihoods as log_likelihoods
from ketameta.models.dependent.likelihood import rotate as rotate
from ketameta.models.dependent.likelihood import sampling_blocks as sampling_blocks
from ketameta.models.dependent.multilevel import CoefficientTable as CoefficientTable
from ketameta.models.dependent.multilevel import coefficient_table as coefficient_table
from ketameta.models.dependent.robust import ROBUST_KINDS as ROBUST_KINDS
from ketameta.models.dependent.robust import hotelling_test as hotelling_test
from ketameta.models.dependent.robust import sandwich as sandwich
from ketameta.models.dependent.robust import satterthwaite_df as satterthwaite_df
from ketameta.models.dependent.sampling_covariance import SHARED_ARM_MEASURES as SHARED_ARM_MEASURES
from ketameta.models.dependent.sampling_covariance import check_groups as check_groups
from ketameta.models.dependent.sampling_covariance import check_vector as check_vector
from ketameta.models.dependent.sampling_covariance import given_blocks as given_blocks
from ketameta.models.dependent.sampling_covariance import rows_of_groups as rows_of_groups
from ketameta.models.dependent.sampling_covariance import (
    shared_arm_covariance as shared_arm_covariance,
)

"""One constant per kind of comparison, each with its reason."""

#: Two quadratures of the same posterior with different nodes, in units of the posterior SD.
#: Measured 5e-10 on tests/reference/bayes.json.
POSTERIOR = 2e-9
#: Adaptive quadrature by scipy of a one-dimensional integral, run to 1e-13; measured 2e-11 (log-t).
BRUTE_FORCE = 1e-9
#: The same posterior after multiplying effects and scales by a power of ten: only rounding differs.
RESCALED_POSTERIOR = 1e-11
#: Effect sizes: the same formulas in another order. Largest relative difference from metafor 3.8-1
#: escalc 7e-13, where its difference of log-gammas loses digits (n of 1,400).
EFFECT_SIZE = 2e-12
#: Metapsy's published effect sizes are printed with 15 digits.
OPEN_DATA = 1e-12
#: A conversion and its inverse: a product, a quotient and a square root.
INVERSE_CONVERSION = 1e-13
#: conv.fivenum of metafor 4.4, printed with 17 digits; only the normal quantiles may differ.
PRINTED_FIVE_NUMBERS = 1e-12

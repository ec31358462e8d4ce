"""One constant per kind of comparison, each with its reason."""

#: Two quadratures of the same posterior with different nodes, in units of the posterior SD.
#: Measured 1e-12 on tests/reference/bayes.json.
POSTERIOR = 1e-10
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
#: metafor's closed forms (FE, DL, HE, HS, SJ): the same arithmetic in another order. Measured
#: 5e-13.
METAFOR_CLOSED = 1e-10
#: ML, REML, PM, EB and the two intervals of tau-squared are searched in both programs. Measured
#: 1e-11 against values that metafor computed with tolerances of 1e-13.
METAFOR_SEARCHED = 1e-9
#: Calendar years as a moderator: metafor inverts X'WX without centring, losing the square of a
#: condition number of about 1e3 (ours takes a QR decomposition). Measured 2e-10 (QE, tau-squared).
METAFOR_YEARS = 2e-9
#: The same computation after a change of unit or of order: rounding, and roots to 4 epsilon.
#: Measured 2e-13.
RESCALED = 1e-11
#: pimeta's own REML stops at a change of 1e-5 in tau-squared; its bounds then differ by 9e-5.
PIMETA_REML = 2e-4
#: Monte Carlo bounds from 25,000 draws in both programs; the standard deviation between seeds is
#: up to 0.015, so that a difference of two has 0.021.
BOOTSTRAP_BOUND = 0.06
#: statsmodels stops Paule-Mandel at an absolute 1e-8 in Q (measured 4e-9); PyMARE searches for the
#: lowest point of a likelihood, which is flat over the square root of the precision of a double.
#: Measured 2e-8 of a standard error for means, 1e-7 with moderators. Half the smallest bound that
#: the report tells.
SECOND_ENGINE = 5e-7
#: Published numbers have seven significant digits: rounding moves each by at most 5e-7 of itself,
#: and what is computed from several rounded numbers by about as much.
PUBLISHED = 1e-6
#: A sum written out in the test against the same sum in the package.
DIRECT = 1e-12
#: A batch against one fit at a time: the same sums in another order, another path to the same
#: root. Measured 1e-15 for a mean and 7e-13 with two moderators, one of them calendar years.
BATCHED = 1e-11
#: rma.mv searches with nlminb, whose variances stop within 1e-6 of the optimum (the likelihoods
#: agree to 1e-13). Measured 8e-7 on the variances, 5e-7 on what follows from them.
THREE_LEVEL_VARIANCE = 2e-6
THREE_LEVEL = 1e-6
#: A p-value of 1e-4 multiplies the relative difference of its statistic by about 20.
THREE_LEVEL_P = 5e-6
#: Log-likelihoods are flat at their optimum. Measured 7e-14.
THREE_LEVEL_LIKELIHOOD = 1e-10
#: Roots of the profile likelihood, run to 1e-10 in metafor. Measured 1e-9.
PROFILE_LIMIT = 1e-8
#: CR0 to CR3, Satterthwaite and HTZ given tau-squared: the same algebra in another order. Measured
#: 4e-14, and 5e-11 where calendar years enter uncentred.
SANDWICH = 1e-9
#: A dense k by k computation written out in the test.
DENSE = 1e-9
#: Mantel-Haenszel and Peto: sums and quotients. Largest relative difference from metafor 6e-14.
STRATIFIED = 1e-12
#: Tail probabilities down to 1e-75: a relative change of z by 1e-14 is 1e-12 of the probability.
STRATIFIED_TAIL = 1e-10
#: rma.glmm stops early: three digits. Measured 3e-4 (dat.nielweise2007, unconditional).
GLMM = 1e-3
#: Likelihood-ratio statistics at tau = 0 are closed forms or one-dimensional maxima in both.
LIKELIHOOD_RATIO = 1e-8
#: A log-likelihood by 4,001 equal steps from -9 to 9 and one with nodes where the integrand is;
#: the bounded search for intercepts in the brute force is good to 1e-9.
BRUTE_LIKELIHOOD = 1e-8
#: Noncentral hypergeometric logarithms and moments of counts up to thousands, summed in another
#: order; measured 8e-9.
BRUTE_TERMS = 1e-7
#: 40,000 simulated trials: a covariance has a relative standard error of 1%, and large-sample
#: formulas are 2% off at 60 per arm.
SHARED_ARM_SIMULATED = 0.06
#: Refits by metafor to subsets of the studies: its likelihoods stop at an absolute change in
#: tau-squared, which moves what follows by up to 1.7e-8 where only a threshold of 1e-8 converges
#: (first eight trials of nielweise2007), and by 1.3e-9 elsewhere.
METAFOR_REFITS = 1e-7
#: Network models given tau-squared (common effect, DL): the same algebra in another order. Measured
#: 1e-14.
NETWORK = 1e-11
#: The REML variance of rma.mv stops within 1e-6 of the optimum; coefficients and their covariance
#: follow it. Measured 1.1e-6 (tau-squared, hasselblad1998), 3.2e-6 (a p-value).
NETWORK_SEARCHED = 5e-6
#: metafor's hc() integrates to a relative 1.2e-4 and stops its root at the same; bounds in standard
#: errors. Measured 1.3e-4 (bcg_RR); run with 1e-12 it equals ours.
HENMI_COPAS_DEFAULT = 3e-4
#: Noncentral t by quadrature, against the series of R and scipy. Measured 7e-15, and 2e-12 at two
#: million degrees of freedom.
POWER = 5e-12
#: power.prop.test searches its root of a closed form to 1e-13. Measured 2e-13.
SAMPLE_SIZE_SEARCHED = 1e-10
#: The prior is cut at 1e-9 in each tail. Measured 8e-10.
ASSURANCE = 5e-9
#: The t test of 1,000 people per arm against a z test. Measured 4e-5.
LARGE_TRIAL = 2e-4
#: A prior with a standard deviation of 1e-6 instead of a point. Measured 1e-12.
POINT_PRIOR = 1e-9
#: Roots by splitting, in units of the effect: the last bracket is 1e-9 wide. Measured 3e-9 against
#: metafor, whose REML stops at an absolute 1e-13.
RANGE_END = 5e-8
#: A sum over 1,201 results of a yes or no: each end of a range is a step off by up to half a node.
SUMMED_INDICATOR = 3e-3
#: The same sum of a width, which has kinks where tau-squared leaves 0. Measured 3e-5.
MEAN_WIDTH = 1e-4
#: Selection models: the log-likelihood at the maximum, where errors of the search enter squared.
#: Measured 2e-13 against an independent search with 80 starts.
SELECTION_VALUE = 1e-6
#: Their parameters (in standard errors or relative), searched in both programs. Measured 5e-8
#: against that search; 6e-5 where metafor's log-likelihood is within 1e-8 of the maximum.
SELECTION_PARAMETER = 1e-4
#: Dose-response curves without a variance between studies: the same algebra in another order.
#: Measured 6e-14.
DOSE_RESPONSE = 1e-11
#: One random slope: rma.mv searches the variance with nlminb, ours is a root of the derivative.
#: Measured 7e-9.
DOSE_RESPONSE_SEARCHED = 1e-7
#: Several random slopes, searched in both; at a correlation of -1 the likelihood is flat. Measured
#: 7e-7, the likelihoods agree to 3e-13.
DOSE_RESPONSE_SEVERAL = 1e-5
#: The known answer of the open data is printed with six decimals.
KNOWN_ANSWER = 1e-6
#: The page's arithmetic is written a second time; sums and square roots in another order.
WORKED = 1e-9
#: The same where it starts from numbers of seven digits: about as far from the published end as one
#: rounding.
WORKED_PUBLISHED = 2e-6
#: The browser's calculator against Python: its own quantiles and search for tau-squared.
BROWSER = 1e-8
#: A value that a paper prints with two decimals.
PUBLISHED_TWO_DIGITS = 0.005
#: The same mixture with nodes dropped at 1e-12 instead of 1e-18 of the probability. Measured 2e-11.
PREDICTIVE = 1e-9
#: A line in two stages, pooled by PyMARE, against the one stage: PyMARE's search for tau-squared
#: is flat over the square root of the precision of a double. Measured 6e-8 where slopes differ.
TWO_STAGE = 5e-7
#: Student's t by its continued fraction against scipy's. Measured 6e-10, where scipy rounds to 1.
STUDENT = 2e-9
#: Closed forms and roots found to full precision, in another unit or order: rounding alone.
INVARIANT = 1e-8
#: The same of searched likelihoods, and of moderators moved by thousands of their spread.
INVARIANT_SEARCHED = 2e-6
#: A million people: what the small-sample correction of g is still worth.
LARGE_SAMPLE = 5e-6
#: The database of psilocybin trials corrects small samples by 1 - 3/(4 df - 1), we by the exact
#: factor: apart by less than 1e-4 of a standardised difference in trials of twenty people.
APPROXIMATE_FACTOR = 2e-4
#: One group by rma.glmm with 60 nodes: glmer stops early. Measured 2.4e-5 of a standard error.
GLMM_ONE_GROUP = 1e-4
#: Selection models with assumed weights: metafor's search stops at a relative 1e-15 of a flat
#: likelihood, and its Hessian is of finite differences. Measured 1.2e-5.
SELECTION_ASSUMED = 1e-4
#: Power averaged over true effects: metafor integrates over five standard deviations only, which
#: leaves out 6e-7; a sum of coins carries that into its tail. Measured 6e-6.
METAFOR_INTEGRAL = 2e-5

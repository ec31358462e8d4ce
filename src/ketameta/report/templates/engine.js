// Random-effects pooling in the reader's browser. No dependencies, no network.
// The numbers equal those of the published analyses; tests hold them to 1e-8 of
// the same fit in Python, and to 2e-6 of published numbers, which have seven digits.
const engine = (() => {
  "use strict";
  // Lanczos coefficients (g = 607/128) for the logarithm of the gamma function.
  const LANCZOS = [0.99999999999999709182, 57.156235665862923517, -59.597960355475491248,
    14.136097974741747174, -0.49191381609762019978, 0.33994649984811888699e-4,
    0.46523628927048575665e-4, -0.98374475304879564677e-4, 0.15808870322491248884e-3,
    -0.21026444172410488319e-3, 0.21743961811521264320e-3, -0.16431810653676389022e-3,
    0.84418223983852743293e-4, -0.26190838401581408670e-4, 0.36899182659531622704e-5];

  function lnGamma(x) {
    let sum = LANCZOS[0];
    for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i] / (x + i);
    const t = x + 5.2421875;
    return (x + 0.5) * Math.log(t) - t + Math.log(2.5066282746310005 * sum / x);
  }

  // Continued fraction of the incomplete beta function (Lentz).
  function betaFraction(a, b, x) {
    const tiny = 1e-300;
    let c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    let h = d;
    for (let m = 1; m < 1000; m++) {
      let step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 + step * d; d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + step / c; if (Math.abs(c) < tiny) c = tiny;
      h *= d * c;
      step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 + step * d; d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + step / c; if (Math.abs(c) < tiny) c = tiny;
      h *= d * c;
      if (Math.abs(d * c - 1) < 1e-16) break;
    }
    return h;
  }

  function incompleteBeta(a, b, x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const front = Math.exp(lnGamma(a + b) - lnGamma(a) - lnGamma(b)
      + a * Math.log(x) + b * Math.log1p(-x));
    return x < (a + 1) / (a + b + 2)
      ? front * betaFraction(a, b, x) / a
      : 1 - front * betaFraction(b, a, 1 - x) / b;
  }

  // Continued fraction and series of the complementary error function.
  function erfc(x) {
    if (x < 0) return 2 - erfc(-x);
    if (x < 2.5) {
      let term = x, sum = x;
      for (let n = 1; n < 200; n++) {
        term *= -x * x / n;
        const next = term / (2 * n + 1);
        sum += next;
        if (Math.abs(next) < 1e-18 * Math.abs(sum)) break;
      }
      return 1 - 2 / Math.sqrt(Math.PI) * sum;
    }
    let f = 0;
    for (let n = 200; n > 0; n--) f = n / 2 / (x + f);
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + f);
  }

  // Two-sided tail of t, or of the normal distribution without degrees of freedom.
  function twoSided(size, df) {
    const t = Math.abs(size);
    return df === null ? erfc(t / Math.SQRT2) : incompleteBeta(df / 2, 0.5, df / (df + t * t));
  }

  // Two-sided critical value, by bisection to the last bit.
  function critical(level, df) {
    let low = 0, high = 1;
    while (twoSided(high, df) > 1 - level) high *= 2;
    for (let i = 0; i < 200; i++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (twoSided(middle, df) > 1 - level) low = middle; else high = middle;
    }
    return (low + high) / 2;
  }

  const sum = (values) => {
    // Neumaier's compensated sum.
    let total = 0, rest = 0;
    for (const value of values) {
      const next = total + value;
      rest += Math.abs(total) >= Math.abs(value) ? (total - next) + value : (value - next) + total;
      total = next;
    }
    return total + rest;
  };

  function at(y, v, t) {
    const w = v.map((x) => 1 / (x + t));
    const total = sum(w);
    const mean = sum(w.map((x, i) => x * y[i])) / total;
    const residual = y.map((x) => x - mean);
    const q = sum(w.map((x, i) => x * residual[i] * residual[i]));
    return { w, total, mean, residual, q };
  }

  // Twice the derivative of the restricted log-likelihood.
  function score(y, v, t) {
    const { w, total, residual } = at(y, v, t);
    return sum(w.map((x, i) => x * x * residual[i] * residual[i]))
      - (total - sum(w.map((x) => x * x)) / total);
  }

  function restrictedLikelihood(y, v, t) {
    const { w, total, q } = at(y, v, t);
    return 0.5 * sum(w.map((x) => Math.log(x))) - 0.5 * q - 0.5 * Math.log(total);
  }

  function reml(y, v) {
    const k = y.length, low = Math.min(...v), high = Math.max(...v);
    const centre = sum(y) / k;
    const spread = sum(y.map((x) => (x - centre) * (x - centre)));
    const m = k - 1, b = 2 * m * low - spread, c = m * low * low - spread * high;
    const bound = Math.max(0, (-b + Math.sqrt(Math.max(0, b * b - 4 * m * c))) / (2 * m));
    const span = Math.log1p(bound / low) * (1 + 1e-9) + 1e-6;
    const points = Math.ceil(span / 0.1) + 2;
    const grid = Array.from({ length: points }, (_, i) => low * Math.expm1(span * i / (points - 1)));
    const slopes = grid.map((t) => score(y, v, t));
    const peaks = slopes[0] <= 0 ? [0] : [];
    for (let i = 0; i + 1 < points; i++) {
      if (!(slopes[i] > 0 && slopes[i + 1] <= 0)) continue;
      let left = grid[i], right = grid[i + 1];
      for (let n = 0; n < 200; n++) {
        const middle = (left + right) / 2;
        if (middle === left || middle === right) break;
        if (score(y, v, middle) > 0) left = middle; else right = middle;
      }
      peaks.push((left + right) / 2);
    }
    const heights = peaks.map((t) => restrictedLikelihood(y, v, t));
    return peaks[heights.indexOf(Math.max(...heights))];
  }

  function dersimonianLaird(y, v) {
    const { w, total, q } = at(y, v, 0);
    return Math.max(0, (q - (y.length - 1)) / (total - sum(w.map((x) => x * x)) / total));
  }

  // Pools estimates y with variances v; null where there is nothing to pool.
  function pool(y, v, { tau2 = "REML", ci = "knapp-hartung-conservative", level = 0.95 } = {}) {
    const k = y.length;
    if (k === 0) return null;
    if (k === 1) {
      const se = Math.sqrt(v[0]), half = critical(level, null) * se;
      return { k, estimate: y[0], se, ci_low: y[0] - half, ci_high: y[0] + half, tau2: null,
        i2: null, q: null, pi_low: null, pi_high: null, df: null,
        p_value: twoSided(y[0] / se, null), weights: [1] };
    }
    const t = tau2 === "DL" ? dersimonianLaird(y, v) : reml(y, v);
    const { w, total, mean, q } = at(y, v, t);
    const scale = ci === "wald" ? 1
      : ci === "knapp-hartung" ? q / (k - 1) : Math.max(1, q / (k - 1));
    const se = Math.sqrt(scale / total), df = ci === "wald" ? null : k - 1;
    const half = critical(level, df) * se;
    const fixed = at(y, v, 0);
    const typical = (k - 1) / (fixed.total - sum(fixed.w.map((x) => x * x)) / fixed.total);
    const wide = k >= 3 ? critical(level, k - 2) * Math.sqrt(t + se * se) : null;
    return { k, estimate: mean, se, ci_low: mean - half, ci_high: mean + half, tau2: t,
      i2: t / (t + typical), q: fixed.q, df, p_value: twoSided(mean / se, df),
      pi_low: wide === null ? null : mean - wide, pi_high: wide === null ? null : mean + wide,
      weights: w.map((x) => x / total) };
  }

  // log OR, log RR or RD of counts [events, n, events, n]; null where a ratio says nothing.
  function ofCounts(measure, [e1, n1, e2, n2]) {
    let a = e1, b = n1 - e1, c = e2, d = n2 - e2;
    const silent = (a === 0 && c === 0) || (b === 0 && d === 0);
    if (silent && measure !== "RD") return null;
    if (a === 0 || b === 0 || c === 0 || d === 0) { a += 0.5; b += 0.5; c += 0.5; d += 0.5; }
    if (measure === "OR") return { y: Math.log(a * d / (b * c)), v: 1 / a + 1 / b + 1 / c + 1 / d };
    const m = a + b, n = c + d;
    if (measure === "RR") {
      return { y: Math.log(a / m / (c / n)), v: 1 / a - 1 / m + 1 / c - 1 / n };
    }
    return { y: a / m - c / n, v: a * b / m ** 3 + c * d / n ** 3 };
  }

  return { pool, ofCounts, critical, twoSided };
})();

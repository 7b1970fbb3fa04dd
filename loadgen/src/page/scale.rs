//! From values to places on an axis, and the ticks between.

/// An axis: from the values `low` to `high` onto the places `from` to `to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

/// Ticks above which only powers of ten get one.
const TICKS_MAX: usize = 10;

impl Scale {
    /// An axis of equal steps from 0 to a round number not below `high`.
    pub(super) fn from_zero(high: f64, from: f64, to: f64) -> Scale {
        let high = if high.is_finite() && high > 1e-9 { high } else { 1.0 };
        let step = linear_step(high);
        Scale { low: 0.0, high: (high / step - 1e-9).ceil() * step, from, to, logarithmic: false }
    }

    /// An axis from `low` to `high` as they are.
    pub(super) fn between(low: f64, high: f64, from: f64, to: f64) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, from, to, logarithmic: false }
    }

    /// An axis of equal factors that holds `low` to `high`, both above 0, rounded outwards to 1, 2
    /// or 5 times a power of ten.
    pub(super) fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Scale {
        let low = round_below(low.clamp(1e-9, 1e15));
        let mut high = round_above(high.clamp(1e-9, 1e15));
        if high <= low {
            high = round_above(low * 1.5);
        }
        Scale { low, high, from, to, logarithmic: true }
    }

    /// The place of a value; what lies beyond an end is put there.
    pub(super) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.logarithmic { value.max(1e-12).log10() } else { value };
        let (low, high) = (place(self.low), place(self.high));
        let share = ((place(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// Round values along the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = linear_step(self.high - self.low);
            let first = (self.low / step - 1e-9).ceil() as i64;
            let last = (self.high / step + 1e-9).floor() as i64;
            return (first..=last).map(|tick| tick as f64 * step).collect();
        }
        let mut all = Vec::new();
        let mut tick = self.low;
        while tick <= self.high * 1.0001 {
            all.push(tick);
            tick = round_above(tick * 1.01);
        }
        if all.len() > TICKS_MAX {
            all.retain(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-6);
        }
        all
    }
}

/// A step of 1, 2 or 5 times a power of ten that fits four to ten times into `length`.
fn linear_step(length: f64) -> f64 {
    round_above(length / 7.0)
}

fn round_below(value: f64) -> f64 {
    round_outwards(value, |mantissa| {
        [5.0, 2.0].into_iter().find(|step| *step <= mantissa * (1.0 + 1e-9)).unwrap_or(1.0)
    })
}

fn round_above(value: f64) -> f64 {
    round_outwards(value, |mantissa| {
        [1.0, 2.0, 5.0].into_iter().find(|step| *step >= mantissa * (1.0 - 1e-9)).unwrap_or(10.0)
    })
}

fn round_outwards(value: f64, step: impl Fn(f64) -> f64) -> f64 {
    let value = value.max(1e-12);
    let exponent = (value.log10() + 1e-9).floor() as i32;
    let power = 10_f64.powi(exponent);
    step(value / power) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} {wanted}");
        }
    }

    #[test]
    fn linear_axes_begin_at_zero_and_end_round() {
        let scale = Scale::from_zero(1230.0, 0.0, 100.0);
        near(&scale.ticks(), &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0]);
        near(&[scale.at(0.0), scale.at(700.0), scale.at(9999.0)], &[0.0, 50.0, 100.0]);
        assert_eq!(Scale::from_zero(0.0, 0.0, 1.0).ticks().len(), 6);
        assert!(Scale::from_zero(f64::NAN, 0.0, 1.0).at(0.5).is_finite());
    }

    #[test]
    fn logarithmic_axes_hold_what_they_are_for() {
        let scale = Scale::logarithmic(0.7, 12.0, 0.0, 100.0);
        near(&scale.ticks(), &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        let wide = Scale::logarithmic(0.03, 4000.0, 100.0, 0.0);
        near(&wide.ticks(), &[0.1, 1.0, 10.0, 100.0, 1000.0]);
        assert!(wide.at(0.03) > wide.at(4000.0), "upside down");
        let one = Scale::logarithmic(1.0, 1.0, 0.0, 1.0);
        near(&one.ticks(), &[1.0, 2.0]);
        assert!(Scale::logarithmic(-3.0, f64::INFINITY, 0.0, 1.0).at(0.0).is_finite());
    }
}

//! Medians and quartiles of a handful of figures.

/// The value below which `part` (0 to 1) of the figures lie, interpolated; 0 of none.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = part * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

/// Median with lower and upper quartile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half of the figures are below.
    pub median: f64,
    /// A quarter is below.
    pub lower: f64,
    /// A quarter is above.
    pub upper: f64,
}

impl Summary {
    /// Of these figures.
    pub fn of(figures: &[f64]) -> Self {
        Self {
            median: quantile(figures, 0.5),
            lower: quantile(figures, 0.25),
            upper: quantile(figures, 0.75),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_an_odd_number_of_figures_are_figures() {
        let summary = Summary::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(
            summary,
            Summary {
                median: 3.0,
                lower: 2.0,
                upper: 4.0
            }
        );
    }

    #[test]
    fn an_even_number_is_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
    }

    #[test]
    fn nothing_is_zero_and_one_is_itself() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[7.0], 0.25), 7.0);
    }
}

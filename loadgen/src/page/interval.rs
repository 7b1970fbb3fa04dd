//! The strips of the results table: a ratio with its interval and its target, on one scale for the
//! whole page. Left of 1 Kafka is better, right of it Ringmain.

use super::drawing::Drawing;
use super::results::{Cell, Ratio};
use super::scale::Scale;
use super::text::{tick, times};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 26.0;
const MARGIN: f64 = 16.0;

/// Who is ahead, as far as the interval says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    Ringmain,
    Kafka,
    /// The interval holds 1.
    Neither,
    /// There is no interval, or the ratio is void.
    Unknown,
}

pub(super) fn ahead(ratio: &Ratio) -> Ahead {
    if ratio.verdict == "void" {
        return Ahead::Unknown;
    }
    match (ratio.low, ratio.high) {
        (Some(low), _) if low > 1.0 => Ahead::Ringmain,
        (_, Some(high)) if high < 1.0 => Ahead::Kafka,
        (Some(_), Some(_)) => Ahead::Neither,
        _ => Ahead::Unknown,
    }
}

impl Ahead {
    pub(super) fn class(self) -> &'static str {
        match self {
            Ahead::Ringmain => "ringmain",
            Ahead::Kafka => "kafka",
            Ahead::Neither | Ahead::Unknown => "neither",
        }
    }
}

/// The scale that holds every interval and every target.
pub(super) fn scale(cells: &[Cell]) -> Scale {
    let ratios = cells.iter().flat_map(|cell| &cell.ratios);
    let mut ends = [0.5_f64, 2.0];
    for ratio in ratios {
        let numbers = [ratio.low, ratio.median, ratio.high, ratio.target];
        for value in numbers.into_iter().flatten().filter(|value| *value > 0.0) {
            ends = [ends[0].min(value), ends[1].max(value)];
        }
    }
    Scale::logarithmic(ends[0], ends[1], MARGIN, WIDTH - MARGIN)
}

/// The numbers of the scale.
pub(super) fn draw_axis(scale: &Scale) -> String {
    let mut drawing = Drawing::new(
        "strip scale",
        WIDTH,
        HEIGHT,
        "Scale of the ratios",
        "Left of 1 Kafka is better, right of it Ringmain",
    );
    for value in scale.ticks() {
        let x = scale.at(value);
        drawing.line("axis", (x, HEIGHT - 4.0), (x, HEIGHT));
        drawing.letters("tick middle", (x, HEIGHT - 8.0), &format!("{}×", tick(value)));
    }
    drawing.finish()
}

/// The interval of a ratio as a bar, its median as a dot, its target as an upright mark.
pub(super) fn draw(scale: &Scale, ratio: &Ratio) -> String {
    let says =
        |name: &str, value: Option<f64>| value.map(|value| format!("{name} {}", times(value)));
    let said = [
        says("median", ratio.median),
        says("from", ratio.low),
        says("to", ratio.high),
        says("target", ratio.target),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    let title = format!("{}: {}", ratio.metric, said.join(", "));
    let mut drawing = Drawing::new("strip", WIDTH, HEIGHT, &title, "Times better than Kafka");
    let middle = HEIGHT / 2.0;
    for value in scale.ticks() {
        let x = scale.at(value);
        let class = if (value - 1.0).abs() < 1e-9 { "even" } else { "grid" };
        drawing.line(class, (x, 0.0), (x, HEIGHT));
    }
    if let Some(target) = ratio.target {
        let x = scale.at(target);
        drawing.line("target", (x, 3.0), (x, HEIGHT - 3.0));
    }
    let class = ahead(ratio).class();
    if let (Some(low), Some(high)) = (ratio.low, ratio.high)
        && low < high
    {
        drawing.line(
            &format!("interval {class}"),
            (scale.at(low), middle),
            (scale.at(high), middle),
        );
    }
    if let Some(median) = ratio.median {
        drawing.dot(&format!("dot {class}"), (scale.at(median), middle), &times(median));
    }
    drawing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(low: Option<f64>, high: Option<f64>) -> Ratio {
        Ratio { low, high, ..Ratio::default() }
    }

    #[test]
    fn the_interval_says_who_is_ahead() {
        assert_eq!(ahead(&ratio(Some(1.1), Some(2.0))), Ahead::Ringmain);
        assert_eq!(ahead(&ratio(Some(0.5), Some(0.9))), Ahead::Kafka);
        assert_eq!(ahead(&ratio(Some(0.9), Some(1.1))), Ahead::Neither);
        assert_eq!(ahead(&ratio(None, Some(1.1))), Ahead::Unknown);
        let mut void = ratio(Some(1.1), Some(2.0));
        void.verdict = "void".to_owned();
        assert_eq!(ahead(&void), Ahead::Unknown);
    }

    #[test]
    fn losses_lie_left_of_one() {
        let mut loss = ratio(Some(0.2), Some(0.4));
        loss.median = Some(0.3);
        let cells = [Cell { ratios: vec![loss, ratio(Some(3.0), Some(80.0))], ..Cell::default() }];
        let scale = scale(&cells);
        assert!(scale.at(0.3) < scale.at(1.0) && scale.at(1.0) < scale.at(80.0));
        let drawn = draw(&scale, &cells[0].ratios[0]);
        assert!(drawn.contains("interval kafka") && drawn.contains("dot kafka"), "{drawn}");
        assert!(!drawn.contains("class=\"target\""));
    }
}

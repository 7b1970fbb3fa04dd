//! Drawings in SVG, and the frame that all plots share.
//!
//! Colours, strokes and sizes of letters are in `style.css`, by class, so that a drawing follows the
//! page into the dark and onto paper.

use std::fmt::Write;

use super::scale::Scale;
use super::text::{escaped, tick};

/// Width of the plots in units of the drawing; pages show them a little wider or narrower.
pub(super) const WIDTH: f64 = 520.0;
/// Height of the plots with two axes.
pub(super) const HEIGHT: f64 = 320.0;
/// Room left of the area of a plot, for the numbers of its axis.
pub(super) const LEFT: f64 = 62.0;
/// Where the area of a plot ends.
pub(super) const RIGHT: f64 = WIDTH - 16.0;
/// Room above it, for the name of the axis.
pub(super) const TOP: f64 = 34.0;
/// Where it ends below.
pub(super) const BOTTOM: f64 = HEIGHT - 54.0;

/// A drawing under construction.
#[derive(Debug)]
pub(super) struct Drawing {
    text: String,
}

impl Drawing {
    /// Begins a drawing. `title` and `description` are read to those who do not see it.
    pub(super) fn new(
        class: &str,
        width: f64,
        height: f64,
        title: &str,
        description: &str,
    ) -> Drawing {
        let mut text = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escaped(&format!("{title}. {description}")),
        );
        let _ = write!(text, "<title>{}</title>", escaped(title));
        Drawing { text }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = write!(
            self.text,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A line through all the points; nothing for less than two.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        if points.len() < 2 {
            return;
        }
        let _ = write!(self.text, "<path class=\"{class}\" d=\"");
        for (index, (x, y)) in points.iter().enumerate() {
            let _ = write!(self.text, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
        }
        self.text.push_str("\"/>");
    }

    /// A dot that says `title` under the pointer.
    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), title: &str) {
        let _ = write!(
            self.text,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\"><title>{}</title></circle>",
            escaped(title)
        );
    }

    pub(super) fn bar(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        let _ = write!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
            escaped(title)
        );
    }

    /// Letters; `class` says where they end: `start`, `middle` or `end` is at the place given.
    pub(super) fn letters(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ = write!(
            self.text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escaped(text)
        );
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }

    /// The horizontal lines of a plot, their numbers, and the name of the axis.
    pub(super) fn upright_axis(&mut self, scale: &Scale, name: &str) {
        self.letters("name start", (0.0, 16.0), name);
        for value in scale.ticks() {
            let y = scale.at(value);
            self.line("grid", (LEFT, y), (RIGHT, y));
            self.letters("tick end", (LEFT - 8.0, y + 4.5), &tick(value));
        }
    }

    /// The ticks of the lower axis of a plot, given as place and label, and the name of the axis.
    pub(super) fn level_axis(&mut self, ticks: &[(f64, String)], name: &str) {
        self.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        for (x, label) in ticks {
            self.line("axis", (*x, BOTTOM), (*x, BOTTOM + 5.0));
            // A label near the end of the drawing must not run out of it.
            let class = if *x > RIGHT - 8.0 { "tick end" } else { "tick middle" };
            let x = if *x > RIGHT - 8.0 { WIDTH - 1.0 } else { *x };
            self.letters(class, (x, BOTTOM + 21.0), label);
        }
        self.letters("name end", (RIGHT, BOTTOM + 46.0), name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_close_what_they_open() {
        let mut drawing = Drawing::new("plot", WIDTH, HEIGHT, "a <title>", "and more");
        drawing.upright_axis(&Scale::from_zero(10.0, BOTTOM, TOP), "MB/s");
        drawing.level_axis(&[(LEFT, "0".to_owned()), (RIGHT, "10".to_owned())], "seconds");
        drawing.curve("ringmain", &[(1.0, 2.0), (3.0, 4.0)]);
        drawing.curve("kafka", &[(1.0, 2.0)]);
        let text = drawing.finish();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>"));
        assert!(text.contains("aria-label=\"a &lt;title&gt;. and more\""));
        assert!(text.contains("d=\"M1.0 2.0L3.0 4.0\"") && !text.contains("class=\"kafka\""));
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
    }
}

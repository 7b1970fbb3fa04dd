//! Texts and numbers as HTML shows them.
//!
//! Invariant: nothing that came from a file reaches the page but through [`escaped`].

use crate::report::grouped;

/// What stands for a number that is not there.
pub(super) const NOTHING: &str = "–";

/// `text` with everything escaped that HTML or an attribute would take for its own, and without the
/// characters that no HTML document may contain.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A number with three significant digits, or all those before the point, in groups.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    if size >= 99.95 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(size.round() as u64));
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    // Digits behind the point that make three significant ones.
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// As [`number`], for what is counted: whole numbers are shown as such.
pub(super) fn count(value: f64) -> String {
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        return grouped(value as u64);
    }
    number(value)
}

/// As [`number`], for what may be missing.
pub(super) fn number_or_nothing(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), number)
}

/// A number for the ticks of an axis: no zeros behind the point, thousands and millions by letter.
pub(super) fn tick(value: f64) -> String {
    for (size, letter) in [(1e6, "M"), (1e3, "k")] {
        if value.abs() >= 10.0 * size && value.abs() < 1e12 {
            return tick(value / size) + letter;
        }
    }
    let text = number(value);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many times better, e.g. `3.0×`.
pub(super) fn times(value: f64) -> String {
    let text = if value.is_finite() && value.abs() < 99.95 && value.abs() >= 0.095 {
        let decimals = if value.abs() < 9.95 { 2 } else { 1 };
        format!("{value:.decimals$}")
    } else {
        number(value)
    };
    format!("{text}×")
}

/// At most `length` characters of a text that has to fit a line.
pub(super) fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{} s", number(seconds)),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{} h {minutes} min", grouped(hours)),
    }
}

/// `2026-11-27T10:00:00Z` as a date and a time; any other text as it is.
pub(super) fn moment(text: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let parts = || {
        let (date, time) = text.split_once('T')?;
        let mut date = date.split('-').map(|part| part.parse::<usize>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let month = MONTHS.get(month.checked_sub(1)?)?;
        let (clock, utc) = (time.get(..5)?, time.ends_with('Z'));
        utc.then(|| format!("{day} {month} {year}, {clock} UTC"))
    };
    parts().unwrap_or_else(|| text.to_owned())
}

/// The parts that are not empty, with a dot between them.
pub(super) fn dotted(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_html_survives() {
        assert_eq!(
            escaped("<a b='c' d=\"e\">&\u{0}\n"),
            "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;\u{fffd}\n"
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.00123, 0.5, 1.0, 9.999, 42.42, 99.99, 1234.5, 1.2e7, -7.5, f64::NAN];
        let shown: Vec<String> = shown.into_iter().map(number).collect();
        assert_eq!(
            shown,
            [
                "0",
                "0.00123",
                "0.500",
                "1.00",
                "10.00",
                "42.4",
                "100",
                "1,235",
                "12,000,000",
                "-7.50",
                "–"
            ]
        );
        assert_eq!(
            [tick(0.5), tick(10.0), tick(2e3), tick(1e5), tick(2.5e7)],
            ["0.5", "10", "2,000", "100k", "25M"]
        );
        assert_eq!(
            [times(3.0), times(0.71), times(12.34), times(0.01)],
            ["3.00×", "0.71×", "12.3×", "0.0100×"]
        );
    }

    #[test]
    fn counts_are_whole() {
        let shown = [0.0, 3.0, 1e6, 2.5].map(count);
        assert_eq!(shown, ["0", "3", "1,000,000", "2.50"]);
    }

    #[test]
    fn times_of_day_and_lengths() {
        assert_eq!(moment("2026-11-27T09:05:33Z"), "27 November 2026, 09:05 UTC");
        assert_eq!(moment("yesterday"), "yesterday");
        assert_eq!(moment("2026-13-01T00:00:00Z"), "2026-13-01T00:00:00Z");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(812.3), "13 min 32 s");
        assert_eq!(duration(7322.0), "2 h 2 min");
        assert_eq!(dotted(&["a", "", "b"]), "a · b");
        assert_eq!([shortened("aé", 2), shortened("aé cd", 4)], ["aé", "aé…"]);
    }
}

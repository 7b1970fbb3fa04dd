//! The page that shows a duel: from the text of `results.json` to one HTML file that needs nothing
//! else, neither a network nor a script.
//!
//! In reading order: [`results`] (what the file says), [`text`] (escaping and numbers), [`scale`] and
//! [`drawing`] (axes, SVG), the drawings ([`interval`], [`curves`], [`bars`]), and what is built of
//! them: [`head`] (what was compared, and how it ended), [`table`] (every ratio), [`cells`] (each
//! cell's curves and runs), [`evidence`] (limits, generator, configurations, how to repeat it).

mod bars;
mod cells;
mod curves;
mod drawing;
mod evidence;
mod head;
mod interval;
mod results;
mod scale;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::options::PageOptions;
use crate::report::write_file;

use results::Results;

/// What `ringload duel` leaves in its directory.
const RESULTS: &str = "results.json";
/// What is made of it, beside it.
const PAGE: &str = "index.html";

/// Nothing may be loaded from anywhere: the page holds all it shows.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// `ringload page`.
pub(crate) fn run(options: &PageOptions) -> Result<(), Failure> {
    let page = write(&options.directory)?;
    println!("{}", page.display());
    Ok(())
}

/// Writes the page of the results in `directory`, and says where it is.
pub(crate) fn write(directory: &Path) -> Result<PathBuf, Failure> {
    let from = directory.join(RESULTS);
    let text = fs::read_to_string(&from)
        .map_err(|error| Failure::Local(format!("cannot read {}: {error}", from.display())))?;
    let page = render(&text)
        .map_err(|error| Failure::Usage(format!("{} is no duel's: {error}", from.display())))?;
    let to = directory.join(PAGE);
    write_file(&to, &page)?;
    Ok(to)
}

/// The page of the results in `text`.
fn render(text: &str) -> Result<String, String> {
    Ok(page(&results::parse(text)?))
}

fn page(results: &Results) -> String {
    let title = head::title(results);
    let body = [
        head::render(results),
        table::render(results),
        cells::render_costs(results),
        cells::render(results),
        evidence::render(results),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        text::escaped(&title),
        include_str!("style.css"),
        body.join("\n"),
    )
}

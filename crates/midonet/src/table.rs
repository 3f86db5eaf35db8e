//! Tables for people: columns as wide as they need to be, numbers to the right.

use std::fmt;

/// Blanks between columns.
const GAP: &str = "  ";
/// What stands for nothing.
pub const NOTHING: &str = "-";

/// A table that is printed when complete.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; empty cells show as `-`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let filled = |c: String| if c.is_empty() { NOTHING.to_owned() } else { c };
        self.rows.push(cells.into_iter().map(filled).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|r| r.get(column));
        let widest = cells.map(|c| c.chars().count()).max().unwrap_or(0);
        widest.max(self.header[column].len())
    }

    /// A column of numbers, with or without `-` between them.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self
            .rows
            .iter()
            .filter_map(|r| r.get(column))
            .filter(|c| *c != NOTHING);
        cells.clone().count() > 0 && cells.all(|c| c.chars().all(|c| c.is_ascii_digit()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(usize, bool)> = (0..self.header.len())
            .map(|c| (self.width(c), self.is_numeric(c)))
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = columns.iter().zip(cells).map(|((width, numeric), cell)| {
                if *numeric {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        writeln!(f, "{}", line(&mut self.header.iter().copied()))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// What may be absent.
pub fn or_nothing(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A duration as people say it: `4 s`, `12 min`, `3 h 5 min`, `2 d 1 h`.
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_go_right() {
        let mut table = Table::new(&["NAME", "COUNT"]);
        table.row(["a-long-name".to_owned(), "7".to_owned()]);
        table.row([String::new(), "1234567".to_owned()]);
        assert_eq!(
            table.to_string(),
            "NAME           COUNT\n\
             a-long-name        7\n\
             -            1234567\n"
        );
    }

    #[test]
    fn durations_are_short() {
        let all = [0, 59, 60, 3599, 3600, 90_000].map(duration);
        assert_eq!(
            all,
            ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "1 d 1 h"]
        );
    }
}

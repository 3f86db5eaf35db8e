//! UTC times as Keystone writes them: `2026-11-23T21:00:00.000000Z`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// Text to time; `None` if it is not such a text or before 1970.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date.split('-'))?;
    let [hour, minute, second] = numbers(time.split('.').next()?.split(':'))?;
    let sane = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let days = sane.then(|| days_before(year, month) + day - 1)?;
    Some(UNIX_EPOCH + Duration::from_secs(days * DAY + hour * 3600 + minute * 60 + second))
}

/// Time to text, whole seconds.
pub fn format(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|m| days_before(year, *m) <= days)
        .unwrap_or(1);
    let day = days - days_before(year, month) + 1;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn numbers<'a>(parts: impl Iterator<Item = &'a str>) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = year - 1;
    let leaps = last / 4 - last / 100 + last / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let this = u64::from(leap && month > 2);
    (year - 1970) * 365 + leaps + BEFORE[(month - 1) as usize] + this
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_read_and_written() {
        let known = [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-23T21:47:07Z", 1_795_470_427),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ];
        for (text, seconds) in known {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(text), Some(time), "{text}");
            assert_eq!(format(time), text);
        }
        assert_eq!(
            parse("2026-11-23T21:47:07.123456Z"),
            parse("2026-11-23T21:47:07Z")
        );
    }

    #[test]
    fn every_day_of_a_long_time_round_trips() {
        for day in 0..60_000 {
            let time = UNIX_EPOCH + Duration::from_secs(day * DAY + 86_399);
            assert_eq!(parse(&format(time)), Some(time));
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "1969-01-01T00:00:00Z",
            "x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

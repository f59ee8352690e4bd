//! Times as the documents of the specifications write them: RFC 3339 in UTC.

/// To the second: `2026-11-23T20:26:14Z`. Seconds count from 1970.
pub fn rfc3339(seconds: i64) -> String {
    format!("{}Z", date_and_time(seconds))
}

/// With nanoseconds: `2026-11-23T20:26:14.000000001Z`.
pub fn rfc3339_nano(seconds: i64, nanoseconds: u32) -> String {
    format!("{}.{nanoseconds:09}Z", date_and_time(seconds))
}

fn date_and_time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Days since 1970-01-01 as a date of the Gregorian calendar, by counting years from March, so that the leap day is a
/// year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Nanoseconds since 1970 of an RFC 3339 time with any offset; none of what is no time, or too far away for a count.
pub fn parse(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|byte| wanted.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    // Second 60 is a leap second.
    if !separated
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let nanoseconds: i64 = format!("{fraction:0<9.9}").parse().ok()?;
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (sign, digits) = zone.split_at_checked(1)?;
            let (hours, minutes) = digits.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// The days from 1970-01-01 to a date: what [`civil`] undoes.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for seconds in [-86_401, -1, 0, 951_782_400, 1_709_251_199, 4_107_542_400] {
            assert_eq!(parse(&rfc3339(seconds)), Some(seconds * 1_000_000_000));
            assert_eq!(parse(&rfc3339_nano(seconds, 7)), Some(seconds * 1_000_000_000 + 7));
        }
    }

    #[test]
    fn offsets_and_fractions_are_read_and_nonsense_is_not() {
        let noon = parse("2024-01-26T12:00:00Z").unwrap();
        assert_eq!(parse("2024-01-26T13:30:00+01:30"), Some(noon));
        assert_eq!(parse("2024-01-26T04:00:00.25-08:00"), Some(noon + 250_000_000));
        for nonsense in [
            "",
            "2024",
            "2024-13-01T00:00:00Z",
            "2024-01-26T12:00:00",
            "0001-01-01T00:00:00Z",
            "2024-01-26T12:00:00é",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339_nano(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339_nano(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(rfc3339_nano(1_735_689_599, 999_999_999), "2024-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339_nano(4_107_542_399, 0), "2100-02-28T23:59:59.000000000Z");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, expected) in [
            (-1, "1969-12-31T23:59:59Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}

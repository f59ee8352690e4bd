//! Times in logs: nanoseconds since 1970, and RFC 3339.

use rustix::time::ClockId;

const NANO: i64 = 1_000_000_000;

/// Now.
pub(crate) fn now() -> i64 {
    let time = rustix::time::clock_gettime(ClockId::Realtime);
    time.tv_sec * NANO + time.tv_nsec
}

/// With all nine digits, as `logs --timestamps` prints it.
pub(super) fn format(time: i64) -> String {
    oci::time::rfc3339_nano(time.div_euclid(NANO), time.rem_euclid(NANO) as u32)
}

/// Without zeros at its end, as Go's `RFC3339Nano` writes it.
pub(super) fn format_short(time: i64) -> String {
    let long = format(time);
    let digits = long.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}Z")
}

/// Reads what Docker writes: UTC, with up to nine digits of a second.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(NANO)?.checked_add(nanos)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// Days since 1970-01-01, counting years from March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(time in 0..4_000_000_000_000_000_000i64) {
            prop_assert_eq!(parse(&format(time)), Some(time));
            prop_assert_eq!(parse(&format_short(time)), Some(time));
        }
    }

    #[test]
    fn zeros_are_cut_as_go_does() {
        assert_eq!(format_short(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(format_short(10_000_000_000), "1970-01-01T00:00:10Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        for wrong in ["", "1970-01-01", "1970-01-01T00:00:01+02:00", "1970-01-01T00:00Z", "x-01-01T00:00:00Z"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

//! Lists of capabilities on the command line.

use capability::{CapSet, Capability, UnknownCapability};

/// Reads a list with commas between: names, `all` and `none`. Items with a sign change `current`, as setpriv(1)
/// has it; a list without signs replaces it.
pub fn parse(text: &str, current: CapSet, all: CapSet) -> Result<CapSet, UnknownCapability> {
    let items: Vec<&str> = text.split([',', ' ']).filter(|item| !item.is_empty()).collect();
    let signed = items.iter().any(|item| item.starts_with(['+', '-']));
    let start = if signed { current } else { CapSet::EMPTY };
    items.into_iter().try_fold(start, |set, item| {
        let members = |name: &str| match name {
            _ if name.eq_ignore_ascii_case("all") => Ok(all),
            _ if name.eq_ignore_ascii_case("none") => Ok(CapSet::EMPTY),
            _ => name.parse::<Capability>().map(CapSet::from),
        };
        Ok(match item.strip_prefix('-') {
            Some(name) => set - members(name)?,
            None => set | members(item.strip_prefix('+').unwrap_or(item))?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_replace_or_change() {
        let current = CapSet::from_bits(0b110);
        let parse = |text| parse(text, current, CapSet::all()).map(CapSet::bits);
        assert_eq!(parse("chown,CAP_KILL"), Ok(0b10_0001));
        assert_eq!(parse("+chown,-dac_override"), Ok(0b101));
        assert_eq!(parse("-all,+chown"), Ok(1));
        assert_eq!(parse("none"), Ok(0));
        assert_eq!(parse(""), Ok(0));
        assert_eq!(parse("all").unwrap().count_ones(), 41);
        assert_eq!(parse("chown,nothing"), Err(UnknownCapability("nothing".into())));
    }
}

//! Records of Open Directory on macOS, as dscl(1) prints them.
//!
//! `dscl -plist . -read PATH` has no ambiguity; the plain form breaks lines at values with spaces.

use std::collections::BTreeMap;

/// dscl(1) and dseditgroup(8) say this where there is no such record; the exit status differs between versions.
const NOT_FOUND: [&str; 2] = ["-14136", "eDSRecordNotFound"];

/// What dscl(1) says where macOS does not let this program change accounts.
const NOT_PERMITTED: &str = "-14120";

/// One record: an account or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, Vec<String>>);

impl Record {
    /// The values of an attribute by its short name, such as `UniqueID`; none where it has none.
    pub fn values(&self, attribute: &str) -> &[String] {
        self.0.get(attribute).map_or(&[], Vec::as_slice)
    }

    /// The first value of an attribute.
    pub fn value(&self, attribute: &str) -> Option<&str> {
        self.values(attribute).first().map(String::as_str)
    }

    /// An attribute that is a number.
    pub fn number(&self, attribute: &str) -> Option<u32> {
        self.value(attribute)?.parse().ok()
    }
}

impl FromIterator<(String, Vec<String>)> for Record {
    fn from_iter<T: IntoIterator<Item = (String, Vec<String>)>>(attributes: T) -> Self {
        Self(attributes.into_iter().collect())
    }
}

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is no property list.
    #[error("it is not a property list: {0}")]
    Plist(String),
    /// It is one of another shape.
    #[error("it is not a dictionary of lists of text")]
    Shape,
}

/// Reads the output of `dscl -plist . -read PATH`. Attributes lose their prefix (`dsAttrTypeStandard:`, `dsAttrTypeNative:`);
/// values that are no text, such as pictures, are left out.
pub fn record(plist: &[u8]) -> Result<Record, RecordError> {
    let value =
        plist::Value::from_reader_xml(plist).map_err(|error| RecordError::Plist(error.to_string()))?;
    let attributes = value.into_dictionary().ok_or(RecordError::Shape)?;
    let of = |(name, values): (String, plist::Value)| {
        let name = name.rsplit(':').next().unwrap_or_default().to_owned();
        let values = values.into_array().ok_or(RecordError::Shape)?;
        Ok((name, values.into_iter().filter_map(plist::Value::into_string).collect()))
    };
    attributes.into_iter().map(of).collect()
}

/// Reads the output of `dscl . -list PATH ATTRIBUTE` where the attribute is a number: a name and its number a line.
pub fn numbers(text: &str) -> impl Iterator<Item = (&str, i64)> {
    text.lines().filter_map(|line| {
        let (name, number) = line.trim_end().rsplit_once(char::is_whitespace)?;
        Some((name.trim_end(), number.parse().ok()?))
    })
}

/// Whether what a program said means that there is no such record.
pub fn is_missing(stderr: &[u8]) -> bool {
    let said = String::from_utf8_lossy(stderr);
    NOT_FOUND.iter().any(|mark| said.contains(mark))
}

/// Whether what a program said means that macOS does not let it change accounts: it wants Full Disk Access, or a session of
/// somebody who may administer the machine.
pub fn is_not_permitted(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains(NOT_PERMITTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of `dscl -plist . -read /Users/agent` on macOS 14.
    const AGENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>dsAttrTypeNative:IsHidden</key>
	<array><string>1</string></array>
	<key>dsAttrTypeStandard:RealName</key>
	<array><string>agentuser agent of ann &amp; co</string></array>
	<key>dsAttrTypeStandard:UniqueID</key>
	<array><string>612</string></array>
	<key>dsAttrTypeStandard:JPEGPhoto</key>
	<array><data>AAEC</data></array>
	<key>dsAttrTypeStandard:RecordName</key>
	<array>
		<string>agent</string>
		<string>agent@example.com</string>
	</array>
</dict>
</plist>
"#;

    #[test]
    fn a_record() {
        let record = record(AGENT.as_bytes()).unwrap();
        assert_eq!(record.number("UniqueID"), Some(612));
        assert_eq!(record.value("RealName"), Some("agentuser agent of ann & co"));
        assert_eq!(record.value("IsHidden"), Some("1"));
        assert_eq!(record.values("RecordName").len(), 2);
        assert!(record.values("JPEGPhoto").is_empty() && record.value("Password").is_none());
    }

    #[test]
    fn what_is_no_record() {
        assert!(record(b"UniqueID: 612\n").is_err());
        assert_eq!(record(b"<plist version=\"1.0\"><array/></plist>"), Err(RecordError::Shape));
        assert_eq!(
            record(b"<plist><dict><key>a</key><string>b</string></dict></plist>"),
            Err(RecordError::Shape)
        );
    }

    #[test]
    fn a_list() {
        let text =
            "_amavisd                 83\nnobody                   -2\nann                      501\n\nodd\n";
        let all: Vec<_> = numbers(text).collect();
        assert_eq!(all, [("_amavisd", 83), ("nobody", -2), ("ann", 501)]);
    }

    #[test]
    fn errors() {
        assert!(is_missing(b"<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)"));
        assert!(is_not_permitted(
            b"<main> attribute status: eDSPermissionError\n<dscl_cmd> DS Error: -14120"
        ));
        assert!(!is_missing(b"DS Error: -14120 (eDSPermissionError)"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}", bytes: Vec<u8>) {
            let _ = (numbers(&text).count(), record(&bytes), record(text.as_bytes()));
        }
    }
}

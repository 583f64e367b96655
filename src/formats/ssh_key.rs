//! Keys of OpenSSH: the public half of a private one (PROTOCOL.key of OpenSSH), which lies in it in the clear.

use std::fmt::Write as _;

/// How the text of a private key begins, and ends.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// The kind of key that agentuser makes.
pub const KIND: &str = "ssh-ed25519";

/// The public half of an unencrypted ed25519 key, as a line of `authorized_keys` without its end; none where the text is no
/// such key.
pub fn public_half(private: &[u8], comment: &str) -> Option<String> {
    let text = std::str::from_utf8(private).ok()?;
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let bytes = decode(body)?;
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let (cipher, _derivation, _options) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let (one, mut rest) = rest.split_first_chunk()?;
    let blob = string(&mut rest)?;
    let is_plain = cipher == b"none" && u32::from_be_bytes(*one) == 1;
    let kind = string(&mut &*blob)?;
    (is_plain && kind == KIND.as_bytes()).then(|| format!("{KIND} {} {comment}", encode(blob)))
}

/// Takes a counted string off the front.
fn string<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648), in one line.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let known = digit <= chunk.len();
            let value = word >> (18 - 6 * digit) & 63;
            let _ = text.write_char(if known { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes that base64 in lines stands for.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
    for byte in digits {
        let value = DIGITS.iter().position(|digit| *digit == byte)?;
        word = word << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A private key's text, as the protocol has it. There is no secret in it.
    fn private(cipher: &str, count: u32, kind: &str) -> String {
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let blob = [string(kind.as_bytes()), string(&[7; 32])].concat();
        let head =
            [&b"openssh-key-v1\0"[..], &string(cipher.as_bytes()), &string(b"none"), &string(b"")].concat();
        let whole = [head, count.to_be_bytes().into(), string(&blob), string(&[1; 152])].concat();
        let body = encode(&whole);
        let lines: Vec<_> =
            body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    #[test]
    fn the_public_half_lies_in_the_private_one() {
        let text = private("none", 1, KIND);
        let line = public_half(text.as_bytes(), "for a test").unwrap();
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
        assert_eq!(line, format!("ssh-ed25519 {blob} for a test"));
    }

    #[test]
    fn what_is_no_key_of_ours() {
        let good = private("none", 1, KIND);
        let odd = [private("aes256-ctr", 1, KIND), private("none", 2, KIND), private("none", 1, "ssh-rsa")];
        let broken =
            [String::new(), BEGIN.into(), good[..good.len() / 2].into(), format!("{BEGIN}\nAAAA\n{END}")];
        for bad in odd.iter().chain(&broken) {
            assert_eq!(public_half(bad.as_bytes(), ""), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn base64_goes_both_ways(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            let _ = public_half(format!("{BEGIN}\n{}\n{END}\n", encode(&bytes)).as_bytes(), "");
        }
    }
}

//! Profiles of macOS's Seatbelt, as sandbox-exec(1) takes them: a text, and parameters beside it, so that no path is ever part
//! of the text.

use crate::model::{
    AbsPath,
    desired::{Access, SharedDir},
};

/// The profile of an agent.
const AGENT: &str = include_str!("../../pf/agentuser.sb");

/// The profile of the child that reads projects.
const LOOK: &str = include_str!("../../pf/look.sb");

/// The profile of the child that reads DNS, whole.
pub const PARSER: &str = include_str!("../../pf/parser.sb");

/// The profile for an agent with these projects.
pub fn agent(projects: &[SharedDir]) -> String {
    let allow = |(at, project): (usize, &SharedDir)| {
        let what = match project.access {
            Access::ReadWrite => "file-read* file-write*",
            Access::ReadOnly => "file-read*",
        };
        format!("(allow {what}\n  (subpath (param \"{}\")))", key(at))
    };
    fill(AGENT, &projects.iter().enumerate().map(allow).collect::<Vec<_>>())
}

/// The arguments that go with [`agent`], before `-f`.
pub fn agent_parameters<'a>(
    home: &AbsPath,
    human: &AbsPath,
    projects: impl IntoIterator<Item = &'a AbsPath>,
) -> Vec<String> {
    let fixed = [("HOME".to_owned(), home), ("HUMAN".to_owned(), human)];
    let projects = projects.into_iter().enumerate().map(|(at, path)| (key(at), path));
    definitions(fixed.into_iter().chain(projects))
}

/// The profile for reading these projects alone, and the arguments that go with it. `human` is the home that is closed but
/// for them, and for the program, which may be in it.
pub fn look(human: &AbsPath, program: &AbsPath, projects: &[AbsPath]) -> (String, Vec<String>) {
    let mut rules = Vec::new();
    let mut parameters = vec![("HUMAN".to_owned(), human.clone()), ("PROGRAM".to_owned(), program.clone())];
    for (at, project) in projects.iter().enumerate() {
        rules.push(format!("(allow file-read*\n  (subpath (param \"{}\")))", key(at)));
        parameters.push((key(at), project.clone()));
    }
    let mut above: Vec<AbsPath> = projects.iter().flat_map(AbsPath::ancestors).collect();
    above.sort();
    above.dedup();
    for (at, dir) in above.into_iter().enumerate() {
        rules.push(format!("(allow file-read-data\n  (literal (param \"ABOVE_{at}\")))"));
        parameters.push((format!("ABOVE_{at}"), dir));
    }
    let parameters = definitions(parameters.iter().map(|(key, path)| (key.clone(), path)));
    (fill(LOOK, &rules), parameters)
}

fn key(at: usize) -> String {
    format!("PROJECT_{at}")
}

fn definitions<'a>(parameters: impl Iterator<Item = (String, &'a AbsPath)>) -> Vec<String> {
    parameters.flat_map(|(key, path)| ["-D".to_owned(), format!("{key}={path}")]).collect()
}

fn fill(skeleton: &str, projects: &[String]) -> String {
    let mut text = String::new();
    for line in skeleton.lines() {
        if line == "@PROJECTS@" {
            for rule in projects {
                text.push_str(rule);
                text.push('\n');
            }
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        text.parse().unwrap()
    }

    /// The expressions of a text: how deep its parentheses nest at each line's end, and at none below zero.
    fn is_balanced(text: &str) -> bool {
        let mut depth = 0_i32;
        for line in text.lines() {
            let mut quoted = false;
            for c in line.split(";;").next().unwrap_or_default().chars() {
                match c {
                    '"' => quoted = !quoted,
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth < 0 {
                    return false;
                }
            }
            if quoted {
                return false;
            }
        }
        depth == 0
    }

    #[test]
    fn no_path_is_part_of_a_text() {
        let odd = path("/Users/ann/a\") (allow file-write* (subpath \"");
        let (text, parameters) = look(&path("/Users/ann"), &path("/x"), std::slice::from_ref(&odd));
        assert!(!text.contains("/Users/ann") && is_balanced(&text), "{text}");
        assert!(parameters.contains(&format!("PROJECT_0={odd}")));
        let project = SharedDir { path: odd.clone(), access: Access::ReadOnly, deploy_key: None };
        let text = agent(&[project]);
        assert!(!text.contains("/Users/ann") && is_balanced(&text), "{text}");
        assert!(!is_balanced("(a (b)") && !is_balanced("(a))") && !is_balanced("(a \"b)"));
    }

    #[test]
    fn the_parsers_profile_is_whole() {
        assert!(is_balanced(PARSER) && !PARSER.contains('@') && !PARSER.contains("(param"));
        // The child opens it to see that the profile is in force.
        assert!(PARSER.contains("(literal \"/private/etc/hosts\")"));
    }

    #[test]
    fn every_parameter_is_defined_and_used() {
        let projects = [path("/Users/ann/src/shop"), path("/Users/ann/src/docs")];
        let shared =
            |path: &AbsPath| SharedDir { path: path.clone(), access: Access::ReadWrite, deploy_key: None };
        let agents = (
            agent(&projects.iter().map(shared).collect::<Vec<_>>()),
            agent_parameters(&path("/Users/bot"), &path("/Users/ann"), &projects),
        );
        for (text, parameters) in [agents, look(&path("/Users/ann"), &path("/x"), &projects)] {
            let mut used: Vec<_> =
                text.split("(param \"").skip(1).filter_map(|t| t.split('"').next()).collect();
            let defined = parameters.iter().filter_map(|word| word.split_once('=')).map(|(key, _)| key);
            let mut defined: Vec<_> = defined.collect();
            used.sort_unstable();
            used.dedup();
            defined.sort_unstable();
            assert_eq!(used, defined);
            assert!(!text.contains("@PROJECTS@"), "{text}");
        }
    }

    #[test]
    fn what_is_allowed_comes_after_what_is_denied() {
        let text =
            agent(&[SharedDir { path: path("/Users/ann/docs"), access: Access::ReadOnly, deploy_key: None }]);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in {text}"));
        assert!(at("(subpath \"/Users\")") < at("(subpath (param \"HOME\"))"));
        assert!(
            at("(subpath (param \"HOME\"))") < at("(allow file-read*\n  (subpath (param \"PROJECT_0\"))")
        );
        let (text, parameters) = look(&path("/Users/ann"), &path("/x"), &[path("/Users/ann/docs")]);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in {text}"));
        assert!(at("(deny file-read-data") < at("(param \"PROJECT_0\")"));
        // A directory above a project is listed, and nothing below it is open by that.
        assert!(text.contains("(literal (param \"ABOVE_2\"))") && !text.contains("(subpath (param \"ABOVE"));
        assert!(parameters.contains(&"ABOVE_2=/Users/ann".to_owned()), "{parameters:?}");
    }
}

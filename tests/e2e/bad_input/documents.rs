//! Each file of `fixtures/bad` has a transcript beside it: `$ ` and a command, `exit ` and its code, then lines that the
//! command's output must contain. `DATA` stands for a folder of the transcript's own.

use std::path::{Path, PathBuf};

use crate::harness::run_in;

/// A command and what it has to give.
struct Step<'a> {
    command: &'a str,
    code: i32,
    says: Vec<&'a str>,
}

#[test]
fn every_bad_file_is_refused_with_the_words_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/bad");
    let mut wrong = Vec::new();
    let (mut files, mut steps) = (0, 0);
    for file in files_in(&folder) {
        let beside = file.with_extension("expected");
        let transcript = std::fs::read_to_string(&beside).unwrap_or_else(|error| {
            panic!("{}: {error}: each bad file needs its transcript", beside.display())
        });
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(transcript.contains(&name), "{} does not give the file to a command", beside.display());
        let data = tempfile::tempdir().expect("a folder");
        for step in parse(&beside, &transcript) {
            steps += 1;
            wrong.extend(deviations(&folder, data.path(), &step));
        }
        files += 1;
    }
    println!("{files} bad files, {steps} commands");
    assert!(files > 0 && wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_transcript_is_left_without_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/bad");
    let bad: Vec<PathBuf> = files_in(&folder).iter().map(|file| file.with_extension("expected")).collect();
    let transcripts =
        entries(&folder).filter(|path| path.extension().is_some_and(|extension| extension == "expected"));
    let orphans: Vec<PathBuf> = transcripts.filter(|path| !bad.contains(path)).collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).expect("fixtures/bad").map(|entry| entry.expect("an entry").path())
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = entries(folder)
        .filter(|path| path.extension().is_some_and(|extension| extension != "expected"))
        .collect();
    files.sort();
    files
}

fn parse<'a>(path: &Path, transcript: &'a str) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    for line in transcript.lines().filter(|line| !line.is_empty()) {
        if let Some(command) = line.strip_prefix("$ thermogate ") {
            steps.push(Step { command, code: -1, says: Vec::new() });
            continue;
        }
        let step =
            steps.last_mut().unwrap_or_else(|| panic!("{} begins with `$ thermogate …`", path.display()));
        match line.strip_prefix("exit ") {
            Some(code) => {
                step.code = code.parse().unwrap_or_else(|_| panic!("{}: exit {code}", path.display()))
            }
            None => step.says.push(line),
        }
    }
    assert!(
        !steps.is_empty() && steps.iter().all(|step| step.code >= 0 && !step.says.is_empty()),
        "{}: each command has an exit code and words",
        path.display()
    );
    steps
}

fn deviations(folder: &Path, data: &Path, step: &Step<'_>) -> Vec<String> {
    let data = data.join("data").display().to_string();
    let arguments: Vec<String> = words(step.command).iter().map(|word| word.replace("DATA", &data)).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished = run_in(folder, &arguments);
    let output = format!("{}{}", finished.stdout, finished.stderr);
    let missing = step.says.iter().filter(|says| !output.contains(&says.replace("DATA", &data)));
    let mut wrong: Vec<String> =
        missing.map(|says| format!("$ thermogate {}\nlacks: {says}\n{output}", step.command)).collect();
    if finished.code != step.code {
        wrong.push(format!(
            "$ thermogate {}\nexit {} instead of {}\n{output}",
            step.command, finished.code, step.code
        ));
    }
    wrong
}

/// Words as a shell splits them, with single quotes.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('\'').enumerate();
    quoted
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

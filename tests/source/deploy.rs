//! Every flag, setting, port, path and metric in `deploy/` exists in the program.

use clap::CommandFactory;
use service::settings::Settings;

fn deploy_files() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
    let mut files = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("deploy is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    files.sort();
    files
}

/// Words of a file that could be arguments: quotes, commas and brackets are not part of them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"',[]{}\\".contains(c)))
        .filter(|word| !word.is_empty())
}

#[test]
fn every_setting_in_deploy_exists_and_takes_its_value() {
    let mut settings = 0;
    for (path, text) in deploy_files().iter().filter(|(path, _)| !path.ends_with(".toml")) {
        for word in words(text) {
            let word = word.strip_prefix("--set=").unwrap_or(word);
            let starts = ["listen.", "alerts.", "access.", "data.", "clock.", "documents."];
            if word.contains('=') && starts.iter().any(|start| word.starts_with(start)) {
                settings += 1;
                let loaded = Settings::load(None, std::iter::empty(), &[word.to_owned()]);
                assert!(
                    loaded.is_ok(),
                    "{path}: {word}: {}",
                    loaded.err().map_or_else(String::new, |error| error.to_string())
                );
            }
        }
    }
    assert!(settings >= 12, "settings were found: {settings}");
}

#[test]
fn every_flag_for_thermogate_in_deploy_exists() {
    let command = cli::Arguments::command();
    let serve = command.find_subcommand("serve").expect("thermogate serve");
    let known: Vec<String> =
        serve.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
    let files = deploy_files();
    let ours = files.iter().filter(|(path, _)| {
        ["Dockerfile", "compose.yaml", "thermogate.yaml"].iter().any(|name| path.ends_with(name))
    });
    let mut flags = 0;
    for (path, text) in ours {
        for word in words(text).filter(|word| word.starts_with("--") && *word != "---") {
            let flag = word.split('=').next().unwrap_or_default();
            // The build's own flags stand in the Dockerfile beside ours.
            if ["--release", "--bin", "--from", "--system", "--uid", "--home-dir", "--create-home"]
                .iter()
                .any(|other| flag == *other)
            {
                continue;
            }
            flags += 1;
            assert!(
                known.iter().any(|known| known == flag),
                "{path}: {flag} is no flag of `thermogate serve`: {known:?}"
            );
        }
    }
    assert!(flags >= 10, "flags were found: {flags}");
}

#[test]
fn every_path_and_port_in_deploy_is_served() {
    let defaults = Settings::load(None, std::iter::empty(), &[]).expect("the defaults are valid");
    let listen = &defaults.listen;
    let ports = [listen.otlp_grpc, listen.otlp_http, listen.grpc, listen.http, listen.postgres]
        .map(|address| address.port());
    for (path, text) in deploy_files() {
        for probe in ["/readyz", "/healthz", "/metrics"] {
            if text.contains(probe) {
                assert!(service::http::PATHS.contains(&probe), "{path}: {probe} is not served");
            }
        }
        for (_, port) in
            text.match_indices("containerPort: ").map(|(at, word)| (at, &text[at + word.len()..]))
        {
            let port: u16 =
                port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a port");
            assert!(ports.contains(&port), "{path}: nothing listens at {port}");
        }
    }
}

#[test]
fn the_watchdog_that_alertmanager_routes_is_the_one_that_is_sent() {
    let defaults = Settings::load(None, std::iter::empty(), &[]).expect("the defaults are valid");
    let files = deploy_files();
    let (_, text) =
        files.iter().find(|(path, _)| path.ends_with("alertmanager.yml")).expect("its configuration");
    assert!(
        text.contains(&format!("alertname=\"{}\"", defaults.alerts.watchdog)),
        "{}",
        defaults.alerts.watchdog
    );
}

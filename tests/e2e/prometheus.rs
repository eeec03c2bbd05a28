//! Debian's Prometheus scrapes a simulated site and itself, and remote-writes to thermogate.

use std::process::Command;

use crate::harness::{Peer, Service, free_port, get, peer, thermogate, wait_for};

#[test]
fn nothing_that_prometheus_sends_is_refused_and_counts_agree_with_its_own() {
    let Some(prometheus) = peer("prometheus") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &[]);
    let (scraped, own) = (free_port(), free_port());
    let _simulator =
        Peer::start(thermogate().args(["simulate", "--scrape", &format!("127.0.0.1:{scraped}")]));
    let configuration = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - {{job_name: site, static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}\n\
         - {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{own}']}}]}}\n\
         remote_write:\n\
         - url: {}/api/v1/write\n",
        service.http
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, configuration).expect("a file");
    let _prometheus = Peer::start(
        Command::new(prometheus)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{own}")),
    );

    let gpus = "source_name = 'DCGM_FI_DEV_GPU_TEMP'";
    // All samples of a selector over one span, in Prometheus and here. A stale marker is no sample.
    let theirs = |selector: &str, until: f64| {
        let query = format!("{selector}[{SPAN}s]")
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22")
            .replace('+', "%2B");
        let (status, answer) =
            get(&format!("http://127.0.0.1:{own}/api/v1/query?query={query}&time={until}"))
                .expect("Prometheus answers");
        assert_eq!(status, 200, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("a matrix");
        series.iter().map(|series| series["values"].as_array().expect("samples").len() as u64).sum::<u64>()
    };
    let ours = |condition: &str, until: f64| {
        let micros = |seconds: f64| (seconds * 1e6) as i64;
        let query = format!(
            "select count(*) as n from samples where {condition} and flag <> 'stale' \
             and time >= to_timestamp_micros({}) and time <= to_timestamp_micros({})",
            micros(until - SPAN),
            micros(until)
        );
        service.sql(&query)[0]["n"].as_u64().expect("a count")
    };
    wait_for("samples of GPUs", || (ours(gpus, now_seconds()) > 100).then_some(()));

    // A span that is over for both, and began after the first scrapes.
    let until = now_seconds();
    wait_for("scrapes after the span", || (ours(gpus, until + SPAN + 2.0) > 0).then_some(()));
    for (selector, condition) in [("DCGM_FI_DEV_GPU_TEMP", gpus), ("{__name__=~\".+\"}", "true")] {
        let wanted = theirs(selector, until);
        assert!(wanted > 100, "{selector}: {wanted}");
        wait_for(&format!("{wanted} samples of {selector}"), || {
            (ours(condition, until) == wanted).then_some(())
        });
    }

    for result in ["unreadable", "partly_refused", "overloaded"] {
        let name = format!("thermogate_ingest_requests_total{{result=\"{result}\",source=\"remote_write\"}}");
        assert_eq!(service.metric(&name), None, "{result}: {}", service.log());
    }
    let accepted =
        service.metric("thermogate_ingest_requests_total{result=\"accepted\",source=\"remote_write\"}");
    assert!(accepted.is_some_and(|requests| requests > 0.0), "the counter has the name that is looked for");
    let racks = service.sql("select distinct rack from samples where rack is not null");
    assert!(racks.len() >= 6, "racks are discovered from labels: {racks:?}");
    let status = service.run(&["status"]).expect_success();
    assert!(status.contains("undeclared") && status.contains("a1"), "{status}");
}

/// Seconds over which counts are compared.
const SPAN: f64 = 3.0;

fn now_seconds() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

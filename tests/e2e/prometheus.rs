//! Debian's Prometheus scrapes a simulated site and itself, and remote-writes to thermogate.

use std::process::Command;

use crate::harness::{Peer, Service, free_port, get, peer, thermogate, wait_for};

#[test]
fn nothing_that_prometheus_sends_is_refused_and_counts_agree_with_its_own() {
    let Some(prometheus) = peer("prometheus") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &[]);
    let (scraped, own) = (free_port(), free_port());
    let _simulator = Peer::start(thermogate().args(["simulate", "--scrape", &format!("127.0.0.1:{scraped}")]));
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

    let metric = "DCGM_FI_DEV_GPU_TEMP";
    let stored = |until: f64, from: f64| {
        let query = format!(
            "select count(*) as n from samples where source_name = '{metric}' \
             and time > to_timestamp_micros({}) and time <= to_timestamp_micros({})",
            (from * 1e6) as i64,
            (until * 1e6) as i64
        );
        service.sql(&query)[0]["n"].as_u64().expect("a count")
    };
    wait_for("samples of GPUs", || (service.sql(&format!("select count(*) as n from samples where source_name = '{metric}'"))[0]["n"].as_u64()? > 100).then_some(()));

    // A span that both have in full: it ended some seconds ago, and began after the first scrape.
    let until = now_seconds();
    let from = until - 3.0;
    std::thread::sleep(std::time::Duration::from_secs(4));
    let url = format!("http://127.0.0.1:{own}/api/v1/query?query=sum(count_over_time({metric}[3s]))&time={until}");
    let (status, answer) = get(&url).expect("Prometheus answers");
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let theirs: u64 = answer["data"]["result"][0]["value"][1].as_str().expect("a count").parse().expect("a number");
    assert!(theirs > 0, "{answer}");
    assert_eq!(wait_for("the same count", || (stored(until, from) == theirs).then_some(theirs)), theirs);

    assert_eq!(service.metric("thermogate_ingest_requests_total{result=\"unreadable\",source=\"remote_write\"}"), None);
    assert_eq!(service.metric("thermogate_ingest_requests_total{result=\"partly_refused\",source=\"remote_write\"}"), None, "{}", service.log());
    let racks = service.sql("select distinct rack from samples where rack is not null");
    assert!(racks.len() >= 6, "racks are discovered from labels: {racks:?}");
    let status = service.run(&["status"]).expect_success();
    assert!(status.contains("undeclared") && status.contains("a1"), "{status}");
}

fn now_seconds() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

//! Defaults < file < `.env` < environment.

use ums_config::{DotEnv, Layered, LoadOptions, MapSource, Origin, load, show};

#[test]
fn the_environment_wins_over_dotenv_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(
        &file,
        "[settings]\nUMS_LISTEN = '127.0.0.1:1'\nUMS_LOG = 'file'\nSMTP_PORT = 2525\nUMS_ENV = 'development'\n",
    )
    .unwrap();
    let process = MapSource::default()
        .with("UMS_LOG", "environment")
        .with("UMS_CONFIG", file.to_str().unwrap())
        .with("UMS_ENV", " ");
    let dotenv = DotEnv::parse("export UMS_LOG=dotenv\nUMS_LISTEN=127.0.0.1:2 # comment\n");
    let sources = Layered::new().over(Origin::Environment, process).over(Origin::DotEnv, dotenv);
    let settings = load(&sources, &LoadOptions::library()).unwrap();
    assert_eq!(settings.log, "environment");
    assert_eq!(settings.listen.port(), 2);
    assert_eq!(settings.environment.as_str(), "development", "a blank value counts as not set");
    let check = |name: &str, value: &str, origin: Origin| {
        let line = show(&settings).iter().find(|line| line.name == name).unwrap();
        assert_eq!((line.value.as_str(), line.origin), (value, origin), "{name}");
        assert_eq!(settings.origin(name), origin);
    };
    check("UMS_LOG", "environment", Origin::Environment);
    check("UMS_LISTEN", "127.0.0.1:2", Origin::DotEnv);
    check("SMTP_PORT", "2525", Origin::File);
    check("UMS_DEFAULT_REGION", "US", Origin::Default);
    check("UMS_DATABASE_URL", "memory:", Origin::Default);
    check("breaker.failures", "5", Origin::Default);
}

#[test]
fn a_file_given_by_the_caller_replaces_the_named_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, "[breaker]\nfailures = 9\n").unwrap();
    let sources = Layered::new().over(Origin::Environment, MapSource::default().with("UMS_CONFIG", "/nowhere"));
    let options = LoadOptions {
        config_file: Some(file),
        ..LoadOptions::library()
    };
    let settings = load(&sources, &options).unwrap();
    assert_eq!(settings.breaker.aws_ses.failures, 9);
    assert_eq!(
        (settings.origin("UMS_CONFIG"), settings.origin("breaker.failures")),
        (Origin::Caller, Origin::File)
    );
}

#[test]
fn faults_of_dotenv_join_the_others() {
    let sources = Layered::new().over(Origin::DotEnv, DotEnv::parse("nonsense\nUMS_ENV=x\n"));
    let error = load(&sources, &LoadOptions::library()).unwrap_err();
    assert_eq!(crate::names(&error), [".env line 1", "UMS_ENV"]);
}

//! Getting Apache Kafka: its jars from Maven Central, or those of an installation, and a Java.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::found;

/// What is fetched, and from which version on.
const POM: &str = include_str!("../../../benches/pom.xml");

/// An Apache Kafka whose classes can be run.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    /// Its version, as the names of its jars have it.
    pub(crate) version: String,
    /// First line of what `java -version` says.
    pub(crate) java_version: String,
    java: PathBuf,
    /// The directory with the jars.
    jars: PathBuf,
}

/// Which Kafka is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Choice {
    /// Version of Apache Kafka to get from Maven Central; 4.x is the newest one known to this program.
    #[arg(
        long = "kafka-version",
        visible_alias = "version",
        value_name = "VERSION",
        default_value = "4.x"
    )]
    pub(crate) version: String,
    /// Use the Apache Kafka that is installed in DIR instead (the folder that holds libs/).
    #[arg(long = "kafka-home", visible_alias = "home", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Where fetched jars are kept (default: ringmain in the user's cache directory).
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

impl Choice {
    /// The Kafka asked for, fetched if it is not there yet.
    pub(crate) fn install(&self) -> Result<Install, Failure> {
        let java = java()?;
        let jars = match &self.home {
            Some(home) => home.join("libs"),
            None => self.fetched()?,
        };
        let version = version_of_jars(&jars)?;
        let java_version = java_version(&java)?;
        Ok(Install { version, java_version, java, jars })
    }

    fn fetched(&self) -> Result<PathBuf, Failure> {
        let version = wanted_version(&self.version)?;
        let target = match &self.cache {
            Some(cache) => cache.clone(),
            None => cache_directory()?,
        }
        .join(format!("kafka-{version}"));
        // The stamp is written last, so that an interrupted copy is made again.
        let (jars, stamp) = (target.join("libs"), target.join("pom.xml"));
        if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == POM) {
            return Ok(jars);
        }
        let Some(maven) = found("mvn") else {
            return Err(Failure::Local(
                "mvn is not installed; it gets Apache Kafka from Maven Central (or name an installed one by --kafka-home)"
                    .to_owned(),
            ));
        };
        let local =
            |error: std::io::Error| Failure::Local(format!("{}: {error}", target.display()));
        if jars.exists() {
            fs::remove_dir_all(&jars).map_err(local)?;
        }
        fs::create_dir_all(&target).map_err(local)?;
        let pom = target.join("fetch.xml");
        fs::write(&pom, POM).map_err(local)?;
        eprintln!("getting Apache Kafka {version} into {}", target.display());
        let output = Command::new(maven)
            .args(["-B", "-q", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-Dkafka.version={version}"))
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .output()
            .map_err(|error| Failure::Local(format!("mvn: {error}")))?;
        if !output.status.success() {
            return Err(Failure::Local(format!(
                "mvn could not get Apache Kafka {version}:\n{}",
                String::from_utf8_lossy(&output.stdout).trim()
            )));
        }
        fs::rename(&pom, &stamp).map_err(local)?;
        Ok(jars)
    }
}

impl Install {
    /// The command that runs one of Kafka's classes.
    pub(crate) fn class(
        &self,
        jvm: impl IntoIterator<Item = impl AsRef<OsStr>>,
        class: &str,
    ) -> Command {
        let mut command = Command::new(&self.java);
        command.args(jvm).arg("-cp").arg(self.jars.join("*")).arg(class);
        command
    }
}

/// The version a user means: `4.x` (or `4`) is the one in the pom.
fn wanted_version(asked: &str) -> Result<String, Failure> {
    if asked == "4.x" || asked == "4" {
        return Ok(pinned_version().to_owned());
    }
    let plausible = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if asked.starts_with(|c: char| c.is_ascii_digit()) && asked.chars().all(plausible) {
        return Ok(asked.to_owned());
    }
    Err(Failure::Usage(format!("{asked} is no version of Apache Kafka, such as 4.x or 4.1.0")))
}

fn pinned_version() -> &'static str {
    let rest = POM.split_once("<kafka.version>").map_or("", |(_, rest)| rest);
    rest.split_once('<').map_or("", |(version, _)| version)
}

/// The version in the name of Kafka's main jar.
fn version_of_jars(jars: &Path) -> Result<String, Failure> {
    let listing = fs::read_dir(jars)
        .map_err(|error| Failure::Local(format!("{}: {error}", jars.display())))?;
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let version = name.strip_prefix("kafka_2.13-").and_then(|rest| rest.strip_suffix(".jar"));
        // Installations have sources and tests beside it.
        if let Some(version) = version.filter(|version| version.split('-').count() == 1) {
            return Ok(version.to_owned());
        }
    }
    Err(Failure::Local(format!("{} holds no kafka_2.13-*.jar", jars.display())))
}

fn cache_directory() -> Result<PathBuf, Failure> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("ringmain"))
        .ok_or_else(|| Failure::Usage("no cache directory: give --cache".to_owned()))
}

fn java() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| java.is_file()).or_else(|| found("java")).ok_or_else(|| {
        Failure::Local("java is not installed; Apache Kafka 4 needs version 17 or newer".to_owned())
    })
}

fn java_version(java: &Path) -> Result<String, Failure> {
    let output = Command::new(java)
        .arg("-version")
        .output()
        .map_err(|error| Failure::Local(format!("{}: {error}", java.display())))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_or_pinned() {
        let newest = wanted_version("4.x").unwrap();
        assert!(newest.starts_with("4.") && newest.len() >= 5, "{newest}");
        assert_eq!(wanted_version("4.0.1").unwrap(), "4.0.1");
        assert!(wanted_version("newest").is_err());
        assert!(wanted_version("4.0/../..").is_err());
    }

    #[test]
    fn the_version_comes_from_the_main_jar() {
        let scratch =
            crate::process::Scratch::new(&std::env::temp_dir(), "ringload-jars-test", 1).unwrap();
        assert!(version_of_jars(scratch.path()).is_err());
        for name in
            ["kafka_2.13-4.1.0-sources.jar", "kafka_2.13-4.1.0.jar", "kafka-clients-4.1.0.jar"]
        {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        assert_eq!(version_of_jars(scratch.path()).unwrap(), "4.1.0");
    }
}

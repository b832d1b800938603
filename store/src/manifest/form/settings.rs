//! A table's settings in the manifest's text.

use item::table::{Decreases, EndedStream, Recovery, Restored, TableClass, TableSettings, Throughput, WarmThroughput};
use serde::{Deserialize, Serialize};

use super::table::StreamForm;

#[derive(Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SettingsForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<ClassForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_changed_at_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_demand_since_us: Option<u64>,
    #[serde(default, skip_serializing_if = "ThroughputForm::is_default")]
    throughput: ThroughputForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended_streams: Vec<EndedStreamForm>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_filling: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<RecoveryForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restored: Option<RestoredForm>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct RestoredForm {
    table: String,
    backup: String,
    as_of_us: u64,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct RecoveryForm {
    since_us: u64,
    period_days: u8,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct EndedStreamForm {
    stream: StreamForm,
    ended_at_us: u64,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassForm {
    Standard,
    InfrequentAccess,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ThroughputForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_units_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    write_units_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm: Option<WarmForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    increased_at_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decreased: Option<DecreasesForm>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct WarmForm {
    read_units: u64,
    write_units: u64,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct DecreasesForm {
    last_at_us: u64,
    on_that_day: u32,
}

impl SettingsForm {
    pub(super) fn is_default(&self) -> bool {
        *self == SettingsForm::default()
    }
}

impl ThroughputForm {
    pub(super) fn is_default(&self) -> bool {
        *self == ThroughputForm::default()
    }
}

impl From<&TableSettings> for SettingsForm {
    fn from(settings: &TableSettings) -> Self {
        SettingsForm {
            class: settings.class.map(|class| match class {
                TableClass::Standard => ClassForm::Standard,
                TableClass::InfrequentAccess => ClassForm::InfrequentAccess,
            }),
            class_changed_at_us: settings.class_changed_at_us,
            on_demand_since_us: settings.on_demand_since_us,
            throughput: (&settings.throughput).into(),
            ended_streams: settings.ended_streams.iter().map(EndedStreamForm::from).collect(),
            is_filling: settings.is_filling,
            recovery: settings
                .recovery
                .map(|Recovery { since_us, period_days }| RecoveryForm { since_us, period_days }),
            restored: settings.restored.clone().map(|restored| {
                let Restored { table, backup, as_of_us } = restored;
                RestoredForm { table, backup, as_of_us }
            }),
        }
    }
}

impl From<SettingsForm> for TableSettings {
    fn from(form: SettingsForm) -> Self {
        TableSettings {
            class: form.class.map(|class| match class {
                ClassForm::Standard => TableClass::Standard,
                ClassForm::InfrequentAccess => TableClass::InfrequentAccess,
            }),
            class_changed_at_us: form.class_changed_at_us,
            on_demand_since_us: form.on_demand_since_us,
            throughput: form.throughput.into(),
            ended_streams: form.ended_streams.into_iter().map(EndedStream::from).collect(),
            is_filling: form.is_filling,
            recovery: form.recovery.map(|RecoveryForm { since_us, period_days }| Recovery { since_us, period_days }),
            restored: form.restored.map(|restored| {
                let RestoredForm { table, backup, as_of_us } = restored;
                Restored { table, backup, as_of_us }
            }),
        }
    }
}

impl From<&EndedStream> for EndedStreamForm {
    fn from(ended: &EndedStream) -> Self {
        EndedStreamForm { stream: (&ended.stream).into(), ended_at_us: ended.ended_at_us }
    }
}

impl From<EndedStreamForm> for EndedStream {
    fn from(form: EndedStreamForm) -> Self {
        EndedStream { stream: form.stream.into(), ended_at_us: form.ended_at_us }
    }
}

impl From<&Throughput> for ThroughputForm {
    fn from(throughput: &Throughput) -> Self {
        let warm = |warm: WarmThroughput| WarmForm { read_units: warm.read_units, write_units: warm.write_units };
        let decreased = |decreased: Decreases| DecreasesForm {
            last_at_us: decreased.last_at_us,
            on_that_day: decreased.on_that_day,
        };
        ThroughputForm {
            read_units_max: throughput.read_units_max,
            write_units_max: throughput.write_units_max,
            warm: throughput.warm.map(warm),
            increased_at_us: throughput.increased_at_us,
            decreased: throughput.decreased.map(decreased),
        }
    }
}

impl From<ThroughputForm> for Throughput {
    fn from(form: ThroughputForm) -> Self {
        let warm = |warm: WarmForm| WarmThroughput { read_units: warm.read_units, write_units: warm.write_units };
        let decreased = |decreased: DecreasesForm| Decreases {
            last_at_us: decreased.last_at_us,
            on_that_day: decreased.on_that_day,
        };
        Throughput {
            read_units_max: form.read_units_max,
            write_units_max: form.write_units_max,
            warm: form.warm.map(warm),
            increased_at_us: form.increased_at_us,
            decreased: form.decreased.map(decreased),
        }
    }
}

//! What a benchmark found, and the way it is printed: a table for people, then a line a figure for machines.

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// One number that a benchmark found.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Names it, without spaces.
    name: String,
    unit: &'static str,
    value: f64,
    limit: Option<Limit>,
    /// What people want to know beside it: absolute figures, the spread.
    context: String,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, limit: None, context: String::new() }
    }

    #[must_use]
    pub(crate) fn at_least(mut self, limit: f64) -> Self {
        self.limit = Some(Limit::AtLeast(limit));
        self
    }

    #[must_use]
    pub(crate) fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some(Limit::AtMost(limit));
        self
    }

    #[must_use]
    pub(crate) fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    fn keeps_its_limit(&self) -> bool {
        match self.limit {
            None => true,
            Some(Limit::AtLeast(limit)) => self.value >= limit,
            Some(Limit::AtMost(limit)) => self.value <= limit,
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.limit, self.keeps_its_limit()) {
            (None, _) => "info",
            (Some(_), true) => "ok",
            (Some(_), false) => "missed",
        }
    }
}

/// The figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    bench: &'static str,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, figures: Vec::new() }
    }

    /// Takes a figure, and tells it at once on the error output: a run takes minutes.
    pub(crate) fn add(&mut self, figure: Figure) {
        eprintln!("   {} {} {}  {}", figure.name, figure.unit, number(figure.value), figure.context);
        self.figures.push(figure);
    }

    /// Prints everything; whether every limit is kept.
    pub(crate) fn print(&self) -> bool {
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        println!("\n{:<width$}  {:>9}  {:<12} {:>8}  {:<6}  context", "figure", "value", "unit", "limit", "");
        for figure in &self.figures {
            let limit = match figure.limit {
                None => String::new(),
                Some(Limit::AtLeast(limit)) => format!(">={}", number(limit)),
                Some(Limit::AtMost(limit)) => format!("<={}", number(limit)),
            };
            let verdict = if figure.limit.is_some() { figure.verdict() } else { "" };
            let (value, unit, context) = (number(figure.value), figure.unit, &figure.context);
            println!("{:<width$}  {value:>9}  {unit:<12} {limit:>8}  {verdict:<6}  {context}", figure.name);
        }
        println!();
        for figure in &self.figures {
            let limit = match figure.limit {
                None => "-".to_owned(),
                Some(Limit::AtLeast(limit) | Limit::AtMost(limit)) => number(limit),
            };
            let (bench, unit, value, verdict) = (self.bench, figure.unit, number(figure.value), figure.verdict());
            println!("bench {bench} {} {unit} {value} limit {limit} {verdict}", figure.name);
        }
        self.figures.iter().all(Figure::keeps_its_limit)
    }
}

fn number(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 20.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

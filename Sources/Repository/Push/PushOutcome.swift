import GitProtocol

/// What a push did, proven: the refs that differ are exactly those that git reports `ok`, each was
/// asked for, and each was allowed by the bridge.
struct PushOutcome {
    /// Whether any ref differs from the parent's.
    let isChange: Bool

    init(
        commands: PushCommands, report: PushReport, allowed: [RefUpdate]?, parent: Manifest,
        refs: WorkspaceRefs
    ) throws(RepositoryError) {
        isChange = refs.ids != parent.refs
        if let error = report.unpackError {
            if isChange { throw .unproven("git could not unpack (\(error)), but refs changed") }
            guard report.accepted.isEmpty else {
                throw .unproven("git could not unpack (\(error)), but reports ok")
            }
            return
        }
        var expected = parent.refs
        let asked = Dictionary(
            commands.commands.map { ($0.rawName, $0) }, uniquingKeysWith: { first, _ in first })
        let allowed = Set(allowed ?? [])
        for name in report.accepted {
            guard let update = asked[name]?.update else {
                throw .unproven("git reports a ref that was not pushed")
            }
            guard allowed.contains(update) else {
                throw .unproven("the bridge did not allow the update of '\(update.name)'")
            }
            let current = parent.refs[update.name] ?? .zero(update.old.format)
            guard current == update.old || current == update.new else {
                throw .unproven("'\(update.name)' had another value than the push expects")
            }
            expected[update.name] = update.new.isZero ? nil : update.new
        }
        guard refs.ids == expected else {
            throw .unproven("the refs that changed are not those that git reports")
        }
    }
}

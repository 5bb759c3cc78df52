package import GitProtocol
package import ObjectStore

/// The user who sent a request, according to the web server.
package struct Requester: Hashable, Sendable {
    /// `REMOTE_USER`; nil if the web server checked no password.
    package let user: String?

    package init(user: String?) {
        self.user = user.flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// The decision of a rule.
package enum Verdict: Equatable, Sendable {
    case allow
    /// Contains the reason, which the user is shown.
    case deny(String)
}

/// The default rule: anyone can read, and every named user can push.
///
/// A web server that wants to hide a repository must not pass on requests for it.
package struct AccessRule: Sendable {
    package init() {}

    /// Decides whether the requester can fetch from a repository.
    package func read(_ repository: RepositoryName, by requester: Requester) -> Verdict {
        .allow
    }

    /// Decides whether the requester can push to a repository at all.
    package func write(_ repository: RepositoryName, by requester: Requester) -> Verdict {
        requester.user == nil ? .deny("Pushing needs a user name and a password.") : .allow
    }

    /// Decides whether the requester can make these updates, whose objects git has accepted.
    package func updates(
        _ updates: [RefUpdate], of repository: RepositoryName, by requester: Requester
    ) -> Verdict {
        write(repository, by: requester)
    }
}

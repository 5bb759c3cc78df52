package import Bytes
package import GitProtocol
package import ObjectStore

/// A missing or damaged object of a published state, and its remedy.
package struct RepairFinding: Sendable, CustomStringConvertible {
    package let key: ObjectKey
    package let fault: Fault
    package let remedy: Remedy
    /// Whether reads and pushes need the object. git does not need bitmaps and commit graphs.
    package let isNeeded: Bool

    /// The damage.
    package enum Fault: Sendable, CustomStringConvertible {
        case missing
        case damaged(reason: String)

        package var description: String {
            switch self {
            case .missing: "missing"
            case .damaged(let reason): "damaged: \(reason)"
            }
        }
    }

    /// The repair that was made, or is possible.
    package enum Remedy: Sendable {
        /// It is good now. Carries the path of the copy; nil if it was derived from its pack.
        case repaired(from: String?)
        /// Another process repaired it in the meantime.
        case repairedElsewhere
        /// It can be repaired, but the mode says to write nothing.
        case repairable(from: String?)
        case none(reason: String)
    }

    /// Whether the object is good now.
    package var isRepaired: Bool {
        switch remedy {
        case .repaired, .repairedElsewhere: true
        case .repairable, .none: false
        }
    }

    /// Whether the object is needed and no good copy was found.
    package var isLost: Bool {
        if case .none = remedy { isNeeded } else { false }
    }

    package var description: String {
        let done =
            switch remedy {
            case .repaired(let path?): "rewritten from '\(path)'."
            case .repaired(nil): "rebuilt from its pack."
            case .repairedElsewhere: "repaired by another process in the meantime."
            case .repairable(let path?): "can be rewritten from '\(path)'."
            case .repairable(nil): "can be rebuilt from its pack."
            case .none(let reason): "not repaired: \(reason)" + (reason.hasSuffix(".") ? "" : ".")
            }
        return "\(key): \(fault); \(done)"
    }
}

/// The result of checking and repairing a repository.
package struct RepairOutcome: Sendable {
    /// The number of objects that were read.
    package var objects = 0
    package var findings: [RepairFinding] = []
    /// The refs that need objects which no good pack has; nil if this was not checked because the
    /// manifest is lost.
    package var incompleteRefs: [RefName]?
    /// The newest earlier state that needs none of the lost packs; nil if there is none.
    package var earlierState: Digest?

    /// The needed objects of which no good copy was found.
    package var lost: [RepairFinding] { findings.filter(\.isLost) }

    /// Whether the repository is complete now.
    package var isWhole: Bool {
        incompleteRefs == [] && findings.allSatisfy { $0.isRepaired || !$0.isNeeded }
    }
}

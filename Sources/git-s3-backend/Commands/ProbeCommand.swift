import ArgumentParser
import ObjectStore

/// `probe`.
struct ProbeCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Check whether a store supports the required conditional writes.",
        discussion:
            "Runs the conformance probe: conditional writes that race, as pushes do. 'serve' "
            + "runs it at startup, and refuses a store that fails.")

    @Option(help: "Number of concurrent writers.")
    var width = 32

    @Option(help: "Number of rounds of each race.")
    var rounds = 3

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if !(2...1000).contains(width) {
            throw ValidationError(
                "Invalid value '\(width)' for "
                    + "--width: expected an integer from 2 to 1000.")
        }
        if !(1...1000).contains(rounds) {
            throw ValidationError(
                "Invalid value '\(rounds)' for "
                    + "--rounds: expected an integer from 1 to 1000.")
        }
    }

    func run(_ setup: Setup) throws {
        let (_, report) = try ConformanceProbe(width: width, rounds: rounds).run(on: setup.store)
        print("'\(setup.store.location)' passed the conformance probe: \(report)")
    }
}

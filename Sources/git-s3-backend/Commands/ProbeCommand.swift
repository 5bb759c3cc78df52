import ArgumentParser
import ObjectStore

/// `probe`.
struct ProbeCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Find out whether a store can be relied on.",
        discussion: "Races conditional writes against each other, as pushes do. The responder "
            + "does the same at its start and refuses to run on a store that fails.")

    @Option(help: "Writers that race.")
    var width = 32

    @Option(help: "Rounds of each race.")
    var rounds = 3

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if !(2...1000).contains(width) { throw ValidationError("--width takes 2 to 1000.") }
        if !(1...1000).contains(rounds) { throw ValidationError("--rounds takes 1 to 1000.") }
    }

    func run(_ setup: Setup) throws {
        let (_, report) = try ConformanceProbe(width: width, rounds: rounds).run(on: setup.store)
        print("'\(setup.store.location)' conforms: \(report)")
    }
}
